#include "bindings/run.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <new>
#include <string>
#include <vector>

#include "base/processors.h"
#include "bindings/convert.h"
#include "bindings/errors.h"
#include "bindings/running_call.h"
#include "engine/engine.h"

namespace nb = nanobind;

namespace bitvit {
namespace {

nb::dlpack::dtype StoredType(const Value& value) {
  if (value.type == ValueType::kF32) return nb::dtype<float>();
  return value.type == ValueType::kI32 ? nb::dtype<int32_t>() : nb::dtype<uint8_t>();
}

const char* StoredTypeName(const Value& value) {
  return value.type == ValueType::kF32 ? "float32" : value.type == ValueType::kI32 ? "int32" : "uint8";
}

[[noreturn]] void Refuse(std::string message) { throw PythonError({ErrorCode::kInput, std::move(message)}); }

// Checks type and shape of the inputs; returns the size of the batch.
size_t CheckInputs(const Engine& engine, const std::vector<InputArray>& arrays) {
  if (arrays.size() != engine.n_inputs()) {
    Refuse(std::to_string(arrays.size()) + " arrays, expected " + std::to_string(engine.n_inputs()));
  }
  size_t batch = 0;
  for (size_t i = 0; i < arrays.size(); ++i) {
    const Shape expected = engine.input(i).stored_shape();
    Shape actual;
    for (size_t axis = 0; axis < arrays[i].ndim(); ++axis) actual.push_back(arrays[i].shape(axis));
    const bool fits = !actual.empty() && Shape(actual.begin() + 1, actual.end()) == expected;
    if (!fits || arrays[i].dtype() != StoredType(engine.input(i))) {
      Refuse("input " + std::to_string(i) + " has shape " + ToString(actual) + ", expected " +
             StoredTypeName(engine.input(i)) + " [batch] + " + ToString(expected));
    }
    if (i != 0 && actual[0] != batch) Refuse("the inputs have different batch sizes");
    batch = actual[0];
    if (batch > kMaxDimension) Refuse("a batch of " + std::to_string(batch) + " is out of range");
  }
  return batch;
}

std::vector<const std::byte*> DataOf(const std::vector<InputArray>& arrays) {
  std::vector<const std::byte*> data;
  for (const InputArray& array : arrays) data.push_back(static_cast<const std::byte*>(array.data()));
  return data;
}

void RequireMemory(const Engine& engine, bool is_there) {
  if (is_there) return;
  throw PythonError({ErrorCode::kOutOfMemory, "there is not enough memory to run: one image needs " +
                                                  std::to_string(engine.workspace_bytes()) +
                                                  " bytes beside its results"});
}

// Memory of NumPy's own kind would need NumPy here; a plain array owned by a capsule does as well.
nb::object MakeOutput(const Engine& engine, const Value& value, size_t batch, std::vector<std::byte*>* outputs) {
  std::byte* const data = new (std::nothrow) std::byte[batch * value.stored_size_bytes() + 1];
  RequireMemory(engine, data != nullptr);
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<std::byte*>(p); });
  Shape shape = value.stored_shape();
  shape.insert(shape.begin(), batch);
  outputs->push_back(data);
  return nb::cast(nb::ndarray<nb::numpy>(data, shape.size(), shape.data(), owner, nullptr, StoredType(value)));
}

nb::list Run(const Engine& engine, const std::vector<InputArray>& arrays, long long batch_without_inputs) {
  if (batch_without_inputs < 0 || batch_without_inputs > static_cast<long long>(kMaxDimension)) {
    Refuse("a batch of " + std::to_string(batch_without_inputs) + " is out of range");
  }
  const size_t batch = engine.n_inputs() == 0 ? static_cast<size_t>(batch_without_inputs) : CheckInputs(engine, arrays);
  const std::vector<const std::byte*> inputs = DataOf(arrays);
  std::vector<std::byte*> outputs;
  nb::list results;
  for (size_t i = 0; i < engine.n_outputs(); ++i) {
    results.append(MakeOutput(engine, engine.output(i), batch, &outputs));
  }
  RunningCall call;
  const RunOutcome outcome = engine.Run(inputs, outputs, batch, call.interrupt());
  call.Finish();
  RequireMemory(engine, outcome != RunOutcome::kOutOfMemory);
  return results;
}

// Seconds of each step in each repeat.
std::vector<std::vector<double>> Profile(const Engine& engine, const std::vector<InputArray>& arrays,
                                         size_t n_repeats) {
  const size_t batch = CheckInputs(engine, arrays);
  const std::vector<const std::byte*> inputs = DataOf(arrays);
  std::vector<std::vector<std::byte>> buffers;
  std::vector<std::byte*> outputs;
  for (size_t i = 0; i < engine.n_outputs(); ++i) {
    buffers.emplace_back(batch * engine.output(i).stored_size_bytes());
    outputs.push_back(buffers.back().data());
  }
  std::vector<std::vector<double>> seconds;
  RunOutcome outcome = RunOutcome::kDone;
  RunningCall call;
  while (seconds.size() < n_repeats && outcome == RunOutcome::kDone) {
    seconds.emplace_back(engine.steps().size(), 0.0);
    outcome = engine.Profile(inputs, outputs, batch, call.interrupt(), seconds.back().data());
  }
  call.Finish();
  RequireMemory(engine, outcome != RunOutcome::kOutOfMemory);
  return seconds;
}

nb::dict Threads() {
  const HelperCounts counts = PrepareHelpers(1);
  nb::dict result;
  result["processors"] = counts.n_processors;
  result["helpers"] = counts.n_helpers;
  result["refused"] = counts.n_refused;
  result["callers"] = counts.n_callers;
  return result;
}

// Of one operator and one thread, where no part of the rows is larger than 1 / n_parts of them.
size_t ScratchBytes(const Engine& engine, size_t step, size_t n_parts) {
  const Operator& op = *engine.steps().at(step).op;
  return op.shared_scratch_bytes() + op.thread_scratch_bytes(n_parts);
}

}  // namespace

void BindEngine(nb::module_& m) {
  RunningCall::WatchForShutdown();
  m.def("usable_processors", &UsableProcessors,
        "Processors that this process may use: its affinity, and what the container's CPU quota pays for.");
  m.def("cpu_quota", &CpuQuota, nb::arg("root") = "",
        "Processors that the control groups' CPU quota pays for, 0 without one; `root` is put before all paths.");
  m.def("live_bytes", &AlignedBuffer::LiveBytes, "Memory of all parameters, arenas and scratch of this process.");
  m.def("threads", &Threads,
        "Processors found, helper threads started, threads refused by the operating system, calls that run now.");
  nb::class_<Engine>(m, "Engine")
      .def("run", &Run, nb::arg("inputs").noconvert(), nb::arg("batch") = 1)
      .def("profile", &Profile, nb::arg("inputs").noconvert(), nb::arg("repeats") = 1)
      .def_prop_ro("isa", [](const Engine& engine) { return std::string(IsaName(engine.isa())); })
      .def_prop_ro("threads", &Engine::n_threads)
      .def_prop_ro("arena_bytes", &Engine::arena_bytes)
      .def_prop_ro("planning_steps", &Engine::planning_steps)
      .def("scratch_bytes", &ScratchBytes, nb::arg("step"), nb::arg("n_parts") = 1)
      .def_prop_ro("workspace_bytes", &Engine::workspace_bytes)
      .def_prop_ro("most_workspaces", &Engine::most_workspaces)
      .def_prop_ro("workspaces", &Engine::n_workspaces);
}

}  // namespace bitvit
