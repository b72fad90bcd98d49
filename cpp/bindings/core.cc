// The Python module bitvit._core: ProgramBuilder and Engine, arrays in and out. Its types are declared in
// src/bitvit/_core.pyi.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <chrono>

#include "base/isa.h"
#include "bindings/convert.h"
#include "bindings/errors.h"
#include "bindings/exchange.h"
#include "bindings/image.h"
#include "bindings/model.h"
#include "bindings/operators.h"
#include "bindings/run.h"
#include "engine/engine.h"
#include "engine/program_builder.h"

namespace nb = nanobind;
using namespace bitvit;

namespace {

void AddOperator(ProgramBuilder& builder, const std::string& kind, const std::vector<long long>& inputs,
                 const std::vector<long long>& outputs, const nb::dict& attrs, const nb::dict& tensors) {
  Check(builder.AddOperator(kind, inputs, outputs, ToAttributes(attrs), ToTensors(tensors)));
}

size_t AddValue(ProgramBuilder& builder, const std::string& type, nb::handle shape) {
  return Take(builder.AddValue(type, ToShape(shape)));
}

std::unique_ptr<Engine> Build(const ProgramBuilder& builder, const std::vector<long long>& inputs,
                              const std::vector<long long>& outputs, long long threads, const std::string& isa) {
  return Take(builder.Build(inputs, outputs, threads, isa));
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

double RegisterPeak(const std::string& isa) { return Peak(KernelsFor(Take(SelectIsa(isa))).binary_gemm.register_peak); }

double PopcountPeak(const std::string& isa) { return Peak(KernelsFor(Take(SelectIsa(isa))).popcount_peak.run); }

}  // namespace

NB_MODULE(_core, m) {
  // Threads, exit handlers and exceptions belong to the whole process. From Python 3.12 on the interpreter refuses by
  // itself what does not declare that it can do this.
  if (PyInterpreterState_GetID(PyInterpreterState_Get()) != 0) {
    throw nb::import_error(
        "bitvit works in the main interpreter only, not in a subinterpreter: use processes or threads");
  }
  nb::set_leak_warnings(false);
  RegisterErrors();
  BindOperators(m);
  m.def("available_isas", &IsaNames, "Instruction sets that this machine can run, slowest first.");

  m.def("register_peak", &RegisterPeak, nb::arg("isa") = "", nb::call_guard<nb::gil_scoped_release>(),
        "Bit products per second of the inner loop of the binary matrix product alone, on registers.");

  m.def("popcount_peak", &PopcountPeak, nb::arg("isa") = "", nb::call_guard<nb::gil_scoped_release>(),
        "Bit products per second of xor, popcount and add alone, on registers.");

  m.def("exchange_ns", &ExchangeNs, nb::call_guard<nb::gil_scoped_release>(),
        "Nanoseconds that a cache line takes to another thread's processor and back; NaN where none answers.");

  BindImage(m);
  BindModel(m);
  BindEngine(m);

  nb::class_<ProgramBuilder>(m, "ProgramBuilder")
      .def(nb::init<>())
      .def("value", &AddValue, nb::arg("type"), nb::arg("shape"))
      .def("op", &AddOperator, nb::arg("kind"), nb::arg("inputs"), nb::arg("outputs"), nb::arg("attrs"),
           nb::arg("tensors"))
      .def("build", &Build, nb::arg("inputs"), nb::arg("outputs"), nb::arg("threads") = 1, nb::arg("isa") = "",
           nb::call_guard<nb::gil_scoped_release>());
}
