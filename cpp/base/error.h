// One exception class for each kind of mistake in a Program, an input or a request. Messages say what, where and what
// to do.
#pragma once

#include <stdexcept>
#include <string>

#include "base/result.h"

namespace bitvit {

class EngineError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

#define BITVIT_ERROR(Name)          \
  class Name : public EngineError { \
   public:                          \
    using EngineError::EngineError; \
  }

BITVIT_ERROR(UnknownIsaError);       // no such instruction set
BITVIT_ERROR(UnavailableIsaError);   // this machine does not have the instruction set
BITVIT_ERROR(UnknownTypeError);      // no such value type
BITVIT_ERROR(SizeLimitError);        // a size is zero, negative or beyond the limits
BITVIT_ERROR(ValueDefinitionError);  // a value is undeclared, never written, written twice or read before it is written
BITVIT_ERROR(UnknownOperatorError);  // no such operator
BITVIT_ERROR(OperandError);          // wrong number, types or shapes of an operator's inputs or outputs
BITVIT_ERROR(OperatorAttributeError);  // an attribute is missing, unknown or out of range
BITVIT_ERROR(OperatorParameterError);  // a parameter is missing or unknown
BITVIT_ERROR(TensorTypeError);         // a parameter has the wrong element type
BITVIT_ERROR(TensorShapeError);        // a parameter has the wrong shape
BITVIT_ERROR(NonFiniteError);          // a number is not finite
BITVIT_ERROR(TensorContentError);      // a parameter holds values that its operator does not allow
BITVIT_ERROR(InputError);              // an array given to run() does not fit the Program

#undef BITVIT_ERROR

// Throws the class named after the error, of those above.
[[noreturn]] inline void Throw(const Error& error) {
  switch (error.code) {
    case ErrorCode::kUnknownOperator:
      throw UnknownOperatorError(error.message);
    case ErrorCode::kOperand:
      throw OperandError(error.message);
    case ErrorCode::kOperatorAttribute:
      throw OperatorAttributeError(error.message);
    case ErrorCode::kOperatorParameter:
      throw OperatorParameterError(error.message);
    case ErrorCode::kTensorType:
      throw TensorTypeError(error.message);
    case ErrorCode::kTensorShape:
      throw TensorShapeError(error.message);
    case ErrorCode::kNonFinite:
      throw NonFiniteError(error.message);
    case ErrorCode::kTensorContent:
      throw TensorContentError(error.message);
    default:
      throw EngineError(error.message);
  }
}

}  // namespace bitvit
