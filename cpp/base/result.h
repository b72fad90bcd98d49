// Errors by value: one code for each rule that a file, a Program or a request can violate, and a message that says what
// was wrong, where, and what to do. Nothing under cpp/ throws; only the bindings turn an Error into an exception.
#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace bitvit {

// X(Name, meaning). The code kName becomes the Python class NameError of bitvit.program.errors (bitvit.runtime.errors
// for the last ones).
#define BITVIT_ERROR_CODES(X)                                                                                \
  X(UnreadableFile, "the file does not exist, is not a regular file, or cannot be read")                     \
  X(NotABitvitFile, "the file is not a safetensors container, or was not written by bitvit")                 \
  X(TruncatedFile, "the file is shorter than its header says")                                               \
  X(Checksum, "the content does not match the checksum")                                                     \
  X(NewerFormat, "the file has a later format version than this reader knows")                               \
  X(OlderFormat, "the file has a format version from before the first release")                              \
  X(Metadata, "a metadata entry is missing, is not valid JSON, or has a missing, unknown or mistyped field") \
  X(SizeLimit, "a size, or a sum of sizes or of work, is zero, negative or beyond the limits of the format") \
  X(ValueDefinition, "a value is undeclared, never written, written twice, or read before it is written")    \
  X(UnknownType, "no such value type")                                                                       \
  X(UnknownOperator, "no such operator")                                                                     \
  X(Operand, "wrong number, types or shapes of an operator's inputs or outputs")                             \
  X(OperatorAttribute, "an attribute is missing, unknown or out of range")                                   \
  X(OperatorParameter, "a parameter is missing or unknown")                                                  \
  X(MissingTensor, "the Program names a tensor that the file does not hold")                                 \
  X(UnusedTensor, "the file holds a tensor that the Program does not use")                                   \
  X(TensorType, "a tensor does not have the element type that its operator needs")                           \
  X(TensorShape, "a tensor does not have the shape that its operator needs")                                 \
  X(NonFinite, "a number is not finite")                                                                     \
  X(TensorContent, "a tensor holds values that its operator does not allow")                                 \
  X(Labels, "the labels or colors do not fit the Program's output")                                          \
  X(Preprocessing, "the preprocessing is wrong or does not fit the Program's input")                         \
  X(UnknownIsa, "no such instruction set")                                                                   \
  X(UnavailableIsa, "this machine does not have the instruction set")                                        \
  X(Input, "an array given to run() does not fit the Program")                                               \
  X(OutputValue, "a result is not finite, or names no class")                                                \
  X(OutOfMemory, "there is not enough memory")

enum class ErrorCode {
#define BITVIT_CODE(Name, meaning) k##Name,
  BITVIT_ERROR_CODES(BITVIT_CODE)
#undef BITVIT_CODE
};

// "SizeLimitError" for kSizeLimit: the name that Python and C users see.
inline const char* ErrorName(ErrorCode code) {
  switch (code) {
#define BITVIT_CODE(Name, meaning) \
  case ErrorCode::k##Name:         \
    return #Name "Error";
    BITVIT_ERROR_CODES(BITVIT_CODE)
#undef BITVIT_CODE
  }
  return "?";
}

struct [[nodiscard]] Error {
  ErrorCode code;
  std::string message;  // one line
};

// What a check gives: nothing, or an error.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(std::move(error)) {}
  Status(ErrorCode code, std::string message) : error_(Error{code, std::move(message)}) {}

  bool ok() const { return !error_.has_value(); }
  const Error& error() const { return *error_; }

 private:
  std::optional<Error> error_;
};

// A value, or an error. Ask ok() before value() or error().
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  template <typename U, typename = std::enable_if_t<std::is_convertible_v<U&&, T>>>
  Result(U&& value) : value_(T(std::forward<U>(value))) {}
  Result(Error error) : error_(std::move(error)) {}
  Result(const Status& failed) : error_(failed.error()) {}  // a failed one

  bool ok() const { return value_.has_value(); }
  const Error& error() const { return *error_; }
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return *std::move(value_); }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return *std::move(value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  std::optional<T> value_;
  std::optional<Error> error_;
};

// Leaves the function with the error of a Status or Result, if it has one.
#define BITVIT_TRY(expression)                    \
  do {                                            \
    if (auto tried = (expression); !tried.ok()) { \
      return ::bitvit::Error(tried.error());      \
    }                                             \
  } while (false)

#define BITVIT_CONCATENATED_(a, b) a##b
#define BITVIT_CONCATENATED(a, b) BITVIT_CONCATENATED_(a, b)

// BITVIT_ASSIGN(const size_t n, Count(x)): the value of a Result, or leaves the function with its error.
#define BITVIT_ASSIGN(declaration, expression) \
  BITVIT_ASSIGN_(BITVIT_CONCATENATED(result_at_line_, __LINE__), declaration, expression)
#define BITVIT_ASSIGN_(result, declaration, expression)     \
  auto result = (expression);                               \
  if (!result.ok()) return ::bitvit::Error(result.error()); \
  declaration = std::move(result).value()

}  // namespace bitvit
