#include "ops/expression.h"

#include <limits>

namespace bitvit {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();

int64_t Sum(int64_t a, int64_t b) {
  int64_t result;
  return __builtin_add_overflow(a, b, &result) ? kLargest : result;
}

int64_t Product(int64_t a, int64_t b) {
  int64_t result;
  return __builtin_mul_overflow(a, b, &result) ? kLargest : result;
}

class Parser {
 public:
  Parser(std::string_view text, const Symbols& symbols) : rest_(text), symbols_(symbols) {}

  std::optional<int64_t> Parse() {
    const int64_t value = ParseSum();
    return is_defined_ && rest_.empty() ? std::optional<int64_t>(value) : std::nullopt;
  }

 private:
  bool Take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  int64_t ParseSum() {
    int64_t value = ParseProduct();
    while (true) {
      if (Take('+')) {
        value = Sum(value, ParseProduct());
      } else if (Take('-')) {
        value = Sum(value, -ParseProduct());
      } else {
        return value;
      }
    }
  }

  int64_t ParseProduct() {
    int64_t value = ParseFactor();
    while (true) {
      if (Take('*')) {
        value = Product(value, ParseFactor());
      } else if (Take('/')) {
        const int64_t divisor = ParseFactor();
        is_defined_ = is_defined_ && divisor != 0;
        if (is_defined_) value /= divisor;
      } else {
        return value;
      }
    }
  }

  int64_t ParseFactor() {
    if (Take('(')) {
      const int64_t value = ParseSum();
      is_defined_ = Take(')') && is_defined_;
      return value;
    }
    size_t n = 0;
    while (n < rest_.size() && (IsDigit(rest_[n]) || IsLetter(rest_[n]))) ++n;
    const std::string_view word = rest_.substr(0, n);
    rest_.remove_prefix(n);
    if (!word.empty() && IsDigit(word[0])) {
      int64_t value = 0;
      for (const char c : word) value = Sum(Product(value, 10), c - '0');
      return value;
    }
    const int64_t* const value = symbols_.Find(word);
    is_defined_ = is_defined_ && value != nullptr;
    return value == nullptr ? 1 : *value;
  }

  std::string_view rest_;
  const Symbols& symbols_;
  bool is_defined_ = true;
};

}  // namespace

std::optional<int64_t> Evaluate(std::string_view expression, const Symbols& symbols) {
  return Parser(expression, symbols).Parse();
}

bool IsName(std::string_view text) {
  for (const char c : text) {
    if (!IsLetter(c) && !IsDigit(c)) return false;
  }
  return !text.empty() && IsLetter(text[0]);
}

}  // namespace bitvit
