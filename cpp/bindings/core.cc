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

nb::dlpack::dtype StoredType(const Value& value) {
  return value.type == ValueType::kF32 ? nb::dtype<float>() : nb::dtype<uint8_t>();
}

// Checks type and shape of the inputs; returns the size of the batch.
size_t CheckInputs(const Engine& engine, const std::vector<InputArray>& arrays) {
  if (arrays.size() != engine.n_inputs()) {
    throw InputError(std::to_string(arrays.size()) + " arrays, expected " + std::to_string(engine.n_inputs()));
  }
  size_t batch = 0;
  for (size_t i = 0; i < arrays.size(); ++i) {
    const Shape expected = engine.input(i).stored_shape();
    Shape actual;
    for (size_t axis = 0; axis < arrays[i].ndim(); ++axis) actual.push_back(arrays[i].shape(axis));
    const bool fits = !actual.empty() && Shape(actual.begin() + 1, actual.end()) == expected;
    if (!fits || arrays[i].dtype() != StoredType(engine.input(i))) {
      throw InputError("input " + std::to_string(i) + " has shape " + ToString(actual) + ", expected " +
                       (engine.input(i).type == ValueType::kF32 ? "float32" : "uint8") + " [batch] + " +
                       ToString(expected));
    }
    if (i != 0 && actual[0] != batch) throw InputError("the inputs have different batch sizes");
    batch = actual[0];
    if (batch > kMaxDimension) throw InputError("a batch of " + std::to_string(batch) + " is out of range");
  }
  return batch;
}

nb::list RunEngine(Engine& engine, const std::vector<InputArray>& arrays, long long batch_without_inputs) {
  if (batch_without_inputs < 0 || batch_without_inputs > static_cast<long long>(kMaxDimension)) {
    throw InputError("a batch of " + std::to_string(batch_without_inputs) + " is out of range");
  }
  const size_t batch = engine.n_inputs() == 0 ? static_cast<size_t>(batch_without_inputs) : CheckInputs(engine, arrays);
  std::vector<const std::byte*> inputs;
  for (const InputArray& array : arrays) inputs.push_back(static_cast<const std::byte*>(array.data()));
  std::vector<std::byte*> outputs;
  nb::list results;
  for (size_t i = 0; i < engine.n_outputs(); ++i) {
    const Value& value = engine.output(i);
    // Memory of NumPy's own kind would need NumPy here; a plain array owned by a capsule does as well.
    std::byte* const data = new std::byte[batch * value.stored_size_bytes() + 1];
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<std::byte*>(p); });
    Shape shape = value.stored_shape();
    shape.insert(shape.begin(), batch);
    outputs.push_back(data);
    results.append(nb::ndarray<nb::numpy>(data, shape.size(), shape.data(), owner, nullptr, StoredType(value)));
  }
  {
    nb::gil_scoped_release release;
    engine.Run(inputs, outputs, batch);
  }
  return results;
}

std::vector<double> ProfileEngine(Engine& engine, const std::vector<InputArray>& arrays, long long n_repeats) {
  const size_t batch = CheckInputs(engine, arrays);
  std::vector<const std::byte*> inputs;
  for (const InputArray& array : arrays) inputs.push_back(static_cast<const std::byte*>(array.data()));
  std::vector<std::vector<std::byte>> buffers;
  std::vector<std::byte*> outputs;
  for (size_t i = 0; i < engine.n_outputs(); ++i) {
    buffers.emplace_back(batch * engine.output(i).stored_size_bytes());
    outputs.push_back(buffers.back().data());
  }
  std::vector<double> seconds(engine.steps().size(), 0.0);
  nb::gil_scoped_release release;
  for (long long i = 0; i < n_repeats; ++i) engine.Run(inputs, outputs, batch, seconds.data());
  return seconds;
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

  nb::class_<Engine>(m, "Engine")
      .def("run", &RunEngine, nb::arg("inputs").noconvert(), nb::arg("batch") = 1)
      .def("profile", &ProfileEngine, nb::arg("inputs").noconvert(), nb::arg("repeats") = 1)
      .def_prop_ro("isa", [](const Engine& engine) { return std::string(IsaName(engine.isa())); })
      .def_prop_ro("threads", &Engine::n_threads)
      .def_prop_ro("arena_bytes", &Engine::arena_bytes);

  nb::class_<ProgramBuilder>(m, "ProgramBuilder")
      .def(nb::init<>())
      .def("value", &ProgramBuilder::AddValue, nb::arg("type"), nb::arg("shape"))
      .def("op", &AddOperator, nb::arg("kind"), nb::arg("inputs"), nb::arg("outputs"), nb::arg("attrs"),
           nb::arg("tensors"))
      .def("build", &ProgramBuilder::Build, nb::arg("inputs"), nb::arg("outputs"), nb::arg("threads") = 1,
           nb::arg("isa") = "", nb::call_guard<nb::gil_scoped_release>());
}
