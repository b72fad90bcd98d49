#include "base/text.h"

#include <cstddef>

namespace bitvit {
namespace {

constexpr size_t kMaxBytes = 80;

// Bytes of the control character or line separator at that place: ASCII controls and DEL, C1 controls (U+0080 to
// U+009F), line and paragraph separator, and the marks that reorder text. 0: an ordinary character.
size_t ControlBytes(std::string_view text, size_t i) {
  const auto at = [&](size_t j) { return j < text.size() ? static_cast<unsigned char>(text[j]) : 0u; };
  if (at(i) < 0x20 || at(i) == 0x7f) return 1;
  if (at(i) == 0xc2 && at(i + 1) >= 0x80 && at(i + 1) < 0xa0) return 2;
  if (at(i) == 0xe2 && at(i + 1) == 0x80 && (at(i + 2) >= 0xa8 && at(i + 2) <= 0xae)) return 3;
  if (at(i) == 0xe2 && at(i + 1) == 0x81 && (at(i + 2) >= 0xa6 && at(i + 2) <= 0xa9)) return 3;
  return 0;
}

}  // namespace

std::string Quoted(std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string_view shown = text;
  if (shown.size() > kMaxBytes) {
    size_t end = kMaxBytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // between two characters
    shown = text.substr(0, end);
  }
  std::string quoted = "'";
  for (size_t i = 0; i < shown.size();) {
    const size_t n_control = ControlBytes(shown, i);
    for (size_t j = 0; j < n_control; ++j) {
      const auto byte = static_cast<unsigned char>(shown[i + j]);
      quoted += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    }
    if (n_control == 0) quoted += shown[i];
    i += n_control == 0 ? 1 : n_control;
  }
  return quoted + (shown.size() < text.size() ? "...'" : "'");
}

}  // namespace bitvit
