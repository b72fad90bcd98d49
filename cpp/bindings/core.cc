// The Python module bitvit._core: ProgramBuilder and Engine, arrays in and out. Its types are declared in
// src/bitvit/_core.pyi.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/isa.h"
#include "bindings/run.h"
#include "engine/engine.h"
#include "engine/program_builder.h"

namespace nb = nanobind;
using namespace bitvit;

namespace {

using InputArray = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;

Attribute ToAttribute(nb::handle object, int depth = 0) {
  if (nb::isinstance<nb::bool_>(object)) return Attribute{nb::cast<bool>(object)};
  if (nb::isinstance<nb::int_>(object)) {
    long long value = 0;
    if (!nb::try_cast<long long>(object, value)) throw OperatorAttributeError("an integer attribute is out of range");
    return Attribute{value};
  }
  if (nb::isinstance<nb::float_>(object)) return Attribute{nb::cast<double>(object)};
  if (nb::isinstance<nb::str>(object)) return Attribute{nb::cast<std::string>(object)};
  if (depth < 4 && (nb::isinstance<nb::list>(object) || nb::isinstance<nb::tuple>(object))) {
    AttributeList list;
    for (nb::handle item : object) list.push_back(ToAttribute(item, depth + 1));
    return Attribute{std::move(list)};
  }
  throw OperatorAttributeError("an attribute is neither a number, a text nor a list of these");
}

DataType ToDataType(const nb::dlpack::dtype& type, const std::string& name) {
  if (type == nb::dtype<float>()) return DataType::kF32;
  if (type == nb::dtype<int32_t>()) return DataType::kI32;
  if (type == nb::dtype<int16_t>()) return DataType::kI16;
  if (type == nb::dtype<int8_t>()) return DataType::kI8;
  if (type == nb::dtype<uint8_t>()) return DataType::kU8;
  throw TensorTypeError("parameter '" + name + "' is none of float32, int32, int16, int8, uint8");
}

Tensor ToTensor(nb::handle object, const std::string& name) {
  InputArray array;
  if (!nb::try_cast<InputArray>(object, array, false)) {
    throw TensorTypeError("parameter '" + name + "' is no C-contiguous array");
  }
  Tensor tensor{ToDataType(array.dtype(), name), {}, array.data(), nullptr};
  for (size_t i = 0; i < array.ndim(); ++i) tensor.shape.push_back(array.shape(i));
  tensor.owner = std::make_shared<InputArray>(std::move(array));
  return tensor;
}

void AddOperator(ProgramBuilder& builder, const std::string& kind, const std::vector<long long>& inputs,
                 const std::vector<long long>& outputs, const nb::dict& attrs, const nb::dict& tensors) {
  std::map<std::string, Attribute> attributes;
  for (auto [key, value] : attrs) attributes.emplace(nb::cast<std::string>(key), ToAttribute(value));
  std::map<std::string, Tensor> parameters;
  for (auto [key, value] : tensors) {
    const std::string name = nb::cast<std::string>(key);
    parameters.emplace(name, ToTensor(value, name));
  }
  builder.AddOperator(kind, inputs, outputs, std::move(attributes), std::move(parameters));
}

std::vector<std::string> IsaNames() {
  std::vector<std::string> names;
  for (const Isa isa : AvailableIsas()) names.push_back(IsaName(isa));
  return names;
}

// Bit products per second of a loop on registers, the best of many short runs.
template <typename Loop>
double Peak(Loop run_rounds) {
  using Clock = std::chrono::steady_clock;
  double best = 0;
  for (int i = 0; i < 200; ++i) {
    const Clock::time_point start = Clock::now();
    const size_t n_products = run_rounds(20000);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, static_cast<double>(n_products) / seconds);
  }
  return best;
}

double RegisterPeak(const std::string& isa) { return Peak(KernelsFor(SelectIsa(isa)).binary_gemm.register_peak); }

double PopcountPeak(const std::string& isa) { return Peak(KernelsFor(SelectIsa(isa)).popcount_peak.run); }

}  // namespace

NB_MODULE(_core, m) {
  nb::set_leak_warnings(false);
  nb::exception<EngineError> base(m, "EngineError", PyExc_ValueError);
#define BITVIT_EXCEPTION(Name) nb::exception<Name>(m, #Name, base)
  BITVIT_EXCEPTION(UnknownIsaError);
  BITVIT_EXCEPTION(UnavailableIsaError);
  BITVIT_EXCEPTION(UnknownTypeError);
  BITVIT_EXCEPTION(SizeLimitError);
  BITVIT_EXCEPTION(ValueDefinitionError);
  BITVIT_EXCEPTION(UnknownOperatorError);
  BITVIT_EXCEPTION(OperandError);
  BITVIT_EXCEPTION(OperatorAttributeError);
  BITVIT_EXCEPTION(OperatorParameterError);
  BITVIT_EXCEPTION(TensorTypeError);
  BITVIT_EXCEPTION(TensorShapeError);
  BITVIT_EXCEPTION(NonFiniteError);
  BITVIT_EXCEPTION(TensorContentError);
  BITVIT_EXCEPTION(InputError);
#undef BITVIT_EXCEPTION

  m.def("available_isas", &IsaNames, "Instruction sets that this machine can run, slowest first.");

  m.def("register_peak", &RegisterPeak, nb::arg("isa") = "", nb::call_guard<nb::gil_scoped_release>(),
        "Bit products per second of the inner loop of the binary matrix product alone, on registers.");

  m.def("popcount_peak", &PopcountPeak, nb::arg("isa") = "", nb::call_guard<nb::gil_scoped_release>(),
        "Bit products per second of xor, popcount and add alone, on registers.");

  BindEngine(m);

  nb::class_<ProgramBuilder>(m, "ProgramBuilder")
      .def(nb::init<>())
      .def("value", &ProgramBuilder::AddValue, nb::arg("type"), nb::arg("shape"))
      .def("op", &AddOperator, nb::arg("kind"), nb::arg("inputs"), nb::arg("outputs"), nb::arg("attrs"),
           nb::arg("tensors"))
      .def("build", &ProgramBuilder::Build, nb::arg("inputs"), nb::arg("outputs"), nb::arg("threads") = 1,
           nb::arg("isa") = "", nb::call_guard<nb::gil_scoped_release>());
}
