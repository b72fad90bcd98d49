#include "bindings/errors.h"

#include <nanobind/nanobind.h>

#include <new>
#include <string>

namespace nb = nanobind;

namespace bitvit {
namespace {

// Some errors of the core are special cases of a class that Python has.
struct PythonClass {
  const char* module;
  const char* name;
};

PythonClass ClassOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUnknownIsa:
    case ErrorCode::kUnavailableIsa:
      return {"bitvit.runtime.errors", "IsaError"};
    case ErrorCode::kUnknownType:
    case ErrorCode::kInput:
      return {"bitvit.program.errors", "OperandError"};
    case ErrorCode::kOutputValue:
      return {"bitvit.runtime.errors", "OutputValueError"};
    case ErrorCode::kOutOfMemory:
      return {"bitvit.errors", "OutOfMemoryError"};
    default:
      return {"bitvit.program.errors", ErrorName(code)};
  }
}

void Raise(ErrorCode code, const char* message) {
  // Imported only now: these modules import _core.
  const PythonClass found = ClassOf(code);
  const nb::object raised = nb::module_::import_(found.module).attr(found.name);
  PyErr_SetString(raised.ptr(), message);
}

void Translate(const std::exception_ptr& exception, void*) {
  try {
    std::rethrow_exception(exception);
  } catch (const PythonError& error) {
    Raise(error.error().code, error.what());
  } catch (const std::bad_alloc&) {
    Raise(ErrorCode::kOutOfMemory, "there is not enough memory; use fewer threads, or a smaller network");
  }
}

}  // namespace

void RegisterErrors() { nb::register_exception_translator(Translate); }

}  // namespace bitvit
