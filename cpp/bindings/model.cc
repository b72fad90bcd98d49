#include "bindings/model.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "base/text.h"
#include "bindings/convert.h"
#include "bindings/errors.h"
#include "engine/program_builder.h"
#include "program/model.h"
#include "program/validation.h"

namespace nb = nanobind;

namespace bitvit {
namespace {

// A file, or a Program and its tensors from Python, read and checked.
struct CheckedModel {
  std::shared_ptr<const Model> file;  // null for a Program from Python
  Program program;
  TensorMap tensors;

  const Program& the_program() const { return file ? file->program : program; }
  const TensorMap& the_tensors() const { return file ? file->tensors : tensors; }
};

// Python's bytes cannot change; the last one to let go of them needs the interpreter's lock.
std::shared_ptr<const void> Owner(const nb::bytes& data) {
  return {data.inc_ref().ptr(), [](const void* object) {
            const nb::gil_scoped_acquire lock;
            Py_DECREF(static_cast<PyObject*>(const_cast<void*>(object)));
          }};
}

std::unique_ptr<CheckedModel> Read(const nb::bytes& data) {
  auto model = std::make_unique<CheckedModel>();
  std::shared_ptr<const void> owner = Owner(data);
  const nb::gil_scoped_release release;
  model->file = Take(ReadModel(reinterpret_cast<const std::byte*>(data.c_str()), data.size(), std::move(owner)));
  return model;
}

std::vector<std::string> Names(nb::handle names) {
  std::vector<std::string> result;
  for (nb::handle name : names) result.push_back(nb::cast<std::string>(name));
  return result;
}

// A `bitvit.program.Program`.
Program ToProgram(nb::handle object) {
  ProgramMaker maker;
  for (auto [name, value] : nb::cast<nb::dict>(object.attr("values"))) {
    Check(maker.AddValue(nb::cast<std::string>(name), nb::cast<std::string>(nb::str(value.attr("type"))),
                         ToShape(value.attr("shape"))));
  }
  for (nb::handle op : object.attr("ops")) {
    std::map<std::string, std::string> tensors;
    for (auto [parameter, name] : nb::dict(op.attr("tensors"))) {
      tensors.emplace(nb::cast<std::string>(parameter), nb::cast<std::string>(name));
    }
    Check(maker.AddOperator(nb::cast<std::string>(op.attr("op")), Names(op.attr("inputs")), Names(op.attr("outputs")),
                            ToAttributes(nb::dict(op.attr("attrs"))), std::move(tensors)));
  }
  return Take(maker.Finish(nb::cast<std::string>(object.attr("input")), nb::cast<std::string>(object.attr("output"))));
}

std::unique_ptr<CheckedModel> CheckFromPython(nb::handle program, const nb::dict& tensors) {
  auto model = std::make_unique<CheckedModel>();
  try {
    model->program = ToProgram(program);
  } catch (const nb::cast_error&) {
    throw PythonError(
        {ErrorCode::kMetadata, "the Program has a name that is not a string, or a field of another type"});
  }
  model->tensors = ToTensors(tensors);
  const nb::gil_scoped_release release;
  Check(CheckProgram(model->program, model->tensors));
  return model;
}

std::string ChecksumOf(const nb::dict& metadata, const nb::dict& tensors) {
  Container container;
  for (auto [key, text] : metadata) {
    container.metadata.emplace(nb::cast<std::string>(key), nb::cast<std::string>(text));
  }
  container.tensors = ToTensors(tensors);
  return Checksum(container);
}

nb::dlpack::dtype NumpyType(DataType type) {
  switch (type) {
    case DataType::kF32:
      return nb::dtype<float>();
    case DataType::kI32:
      return nb::dtype<int32_t>();
    case DataType::kI16:
      return nb::dtype<int16_t>();
    case DataType::kI8:
      return nb::dtype<int8_t>();
    case DataType::kU8:
      return nb::dtype<uint8_t>();
  }
  return nb::dtype<uint8_t>();
}

// Read-only views that keep what they show alive.
nb::dict Tensors(const CheckedModel& model) {
  nb::dict arrays;
  for (const auto& [name, tensor] : model.the_tensors()) {
    auto* const owner = new std::shared_ptr<const void>(tensor.owner);
    const nb::capsule capsule(owner, [](void* p) noexcept { delete static_cast<std::shared_ptr<const void>*>(p); });
    arrays[nb::str(name.c_str(), name.size())] = nb::ndarray<nb::numpy, nb::ro>(
        tensor.data, tensor.shape.size(), tensor.shape.data(), capsule, nullptr, NumpyType(tensor.type));
  }
  return arrays;
}

nb::dict Metadata(const CheckedModel& model) {
  nb::dict metadata;
  if (model.file == nullptr) return metadata;
  for (const auto& [key, text] : model.file->metadata) {
    metadata[nb::str(key.c_str(), key.size())] = nb::str(text.c_str(), text.size());
  }
  return metadata;
}

std::unique_ptr<Engine> Build(const CheckedModel& model, const std::vector<std::string>& outputs, long long threads,
                              const std::string& isa) {
  const nb::gil_scoped_release release;
  const Program& program = model.the_program();
  std::vector<size_t> numbers;
  for (const std::string& name : outputs) {
    const auto found = std::find(program.value_names.begin(), program.value_names.end(), name);
    if (found == program.value_names.end()) {
      throw PythonError({ErrorCode::kValueDefinition, "value " + Quoted(name) + " is not declared"});
    }
    numbers.push_back(static_cast<size_t>(found - program.value_names.begin()));
  }
  if (outputs.empty()) numbers.push_back(program.output);
  return Take(BuildEngine(program, model.the_tensors(), numbers, threads, isa));
}

}  // namespace

void BindModel(nb::module_& m) {
  nb::class_<CheckedModel>(m, "Model")
      .def("metadata", &Metadata)
      .def("tensors", &Tensors)
      .def_prop_ro("n_operators", [](const CheckedModel& model) { return model.the_program().operators.size(); })
      .def_prop_ro("n_tensors", [](const CheckedModel& model) { return model.the_tensors().size(); })
      .def("engine", &Build, nb::arg("outputs") = std::vector<std::string>(), nb::arg("threads") = 1,
           nb::arg("isa") = "");
  m.def("read_model", &Read, nb::arg("data"), "Read and check the bytes of a .bitvit file.");
  m.def("checksum", &ChecksumOf, nb::arg("metadata"), nb::arg("tensors"),
        "The checksum of a file with these metadata strings and C-contiguous arrays.");
  m.def("check_program", &CheckFromPython, nb::arg("program"), nb::arg("tensors"),
        "Check a bitvit.program.Program and its C-contiguous arrays, which are copied.");
}

}  // namespace bitvit
