// Random JSON: numbers near others or at an edge, and values of other types.
#pragma once

#include <cstdint>
#include <string>

#include "fuzz/arena_json.h"
#include "fuzz/random.h"

namespace bitvit {

class RandomJson {
 public:
  explicit RandomJson(Random& random) : random_(random) {}

  // A number near another, or one where something overflows or runs over an edge.
  int64_t Integer(int64_t near) {
    switch (random_.Below(5)) {
      case 0:
        return near + 1;
      case 1:
        return near - 1;
      case 2:
        return near * random_.Of<int64_t>({2, 3, 8});
      case 3:
        return random_.Of<int64_t>({0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 255, 257});
      default:
        return random_.Of<int64_t>({-1, -63, 4096, 8192, 32767, 32768, 65536, 1 << 24, (1 << 24) + 1, INT32_MAX,
                                    int64_t{1} << 32, int64_t{1} << 40, INT64_MAX, INT64_MIN});
    }
  }

  ArenaJson Number(const ArenaJson& near) {
    if (near.is_number_integer()) return Integer(near.get<int64_t>() % (int64_t{1} << 40));
    return random_.Of<double>({0.0, -0.0, 0.5, -1.5, 1e-45, 1e-30, 1e30, 3.4e38, -3.4e38, 1e39, 1e300, 0.1});
  }

  ArenaJson Anything() {
    switch (random_.Below(9)) {
      case 0:
        return nullptr;
      case 1:
        return random_.OneIn(2);
      case 2:
        return "";
      case 3:
        return random_.Of<std::string>(
            {"max", "average", "greater", "ones", "f32", "sign", "image", "\x1b[31m", "[/x]"});
      case 4:
        return ArenaJson::array();
      case 5:
        return ArenaJson::object();
      case 6:
        return 9223372036854775808ull;
      default:
        return Number(random_.OneIn(2) ? ArenaJson(1) : ArenaJson(1.0));
    }
  }

 private:
  Random& random_;
};

}  // namespace bitvit
