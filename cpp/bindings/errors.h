// Errors of the core as Python exceptions: the one place where one becomes the other.
#pragma once

#include <exception>
#include <utility>

#include "base/result.h"

namespace bitvit {

// Carries an Error through nanobind, which turns it into the class of bitvit.program.errors of the same name.
class PythonError : public std::exception {
 public:
  explicit PythonError(Error error) : error_(std::move(error)) {}
  const Error& error() const { return error_; }
  const char* what() const noexcept override { return error_.message.c_str(); }

 private:
  Error error_;
};

inline void Check(const Status& status) {
  if (!status.ok()) throw PythonError(status.error());
}

template <typename T>
T Take(Result<T> result) {
  if (!result.ok()) throw PythonError(result.error());
  return std::move(result).value();
}

void RegisterErrors();

}  // namespace bitvit
