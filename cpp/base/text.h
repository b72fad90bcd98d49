// Text from files and users, made fit for a one-line message.
#pragma once

#include <string>
#include <string_view>

namespace bitvit {

// 'text' in quotes, control characters and line separators escaped, at most 80 bytes of it.
std::string Quoted(std::string_view text);

}  // namespace bitvit
