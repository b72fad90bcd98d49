#include "fuzz/insertions.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace bitvit {
namespace {

using json = ArenaJson;
using Axes = std::vector<uint64_t>;

uint64_t Bytes(uint64_t bits) { return (bits + 7) / 8; }

// Appends operators that lead from a value [n, c] to one of the same shape.
class Inserter {
 public:
  Inserter(json& program, Parts& parts, Random& random, uint64_t n, uint64_t c)
      : program_(program), parts_(parts), random_(random), n_(n), c_(c) {
    do {
      prefix_ = "fuzz" + std::to_string(random_.Below(100000));
    } while (program_["values"].contains(prefix_ + ".0"));
    height_ = Divisor(n);
  }

  json operators = json::array();

  std::string Insert(const std::string& x) {
    switch (random_.Below(22)) {
      case 0:
        return Rows("gelu", x, {});
      case 1:
        return Emit("add", {x, x}, "f32", {n_, c_});
      case 2:
        return Rows("affine", x, {"scale", "bias"});
      case 3:
        return Rows("rprelu", x, {"before", "slope", "after"});
      case 4:
        return Rows("layer_norm", x, {"weight", "bias"}, {{"eps", 1e-5}});
      case 5:
        return Emit("add_constant", {x}, "f32", {n_, c_}, {}, {{"value", random_.OneIn(2) ? Axes{c_} : Axes{n_, c_}}});
      case 6:
        return Stencil(x);
      case 7:
        return Emit("pool", {x}, "f32", {n_, c_},
                    {{"grid", Grid()}, {"kind", Kind()}, {"kernel", 3}, {"stride", 1}, {"padding", 1}});
      case 8: {
        const std::string statistics = Emit("statistics", {x}, "f32", {2});
        return Emit("scale_by", {x, statistics}, "f32", {n_, c_}, {{"index", random_.Below(2)}});
      }
      case 9:
        return BinaryLinear(Bits(x, {n_, c_}), c_, c_);
      case 10: {
        const uint64_t hidden = 1 + random_.Below(80);
        const std::string y = Threshold(Bits(x, {n_, c_}), hidden);
        return BinaryLinear(y, hidden, c_);
      }
      case 11:
        return Convolution(x);
      case 12:
        return Emit("linear_f32", {x}, "f32", {n_, c_}, {}, {{"weight", {c_, c_}}, {"bias", {c_}}});
      case 13: {
        const std::string y = Emit("linear_i8", {x}, "f32", {n_, c_}, {},
                                   {{"shift", {c_}}, {"step", {1}}, {"scale", {c_}}, {"bias", {c_}}});
        Tensor("weight", "I8", {c_, c_});
        SetFloats("step", 0.125f);
        return y;
      }
      case 14: {
        const uint64_t rows = Divisor(n_ * c_);
        const std::string y = Emit("reshape_rows", {x}, "f32", {rows, n_ * c_ / rows}, {{"rows", rows}});
        return Emit("reshape_rows", {y}, "f32", {n_, c_}, {{"rows", n_}});
      }
      case 15: {
        const uint64_t windows = Divisor(n_);
        const std::string y =
            Emit("windows_to_heads", {x}, "f32", {n_ / windows, windows * c_}, {{"windows", windows}});
        return Emit("heads_to_windows", {y}, "f32", {n_, c_}, {{"windows", windows}});
      }
      case 16: {
        const uint64_t times = 1 + random_.Below(4);
        const std::string y = Emit("repeat_channels", {x}, "f32", {n_, c_ * times}, {{"times", times}});
        return Emit("mean_channels", {y}, "f32", {n_, c_}, {{"group", times}});
      }
      case 17: {
        const std::string y = Emit("gather_rows", {x}, "f32", {n_, c_});
        Tensor("index", "I32", {n_});
        return y;
      }
      case 18: {
        const uint64_t cut = 1 + random_.Below(n_);
        const std::string top = Emit("slice_rows", {x}, "f32", {cut, c_}, {{"start", 0}, {"stop", cut}});
        if (cut == n_) return Emit("concat_rows", {top}, "f32", {n_, c_});
        const std::string rest = Emit("slice_rows", {x}, "f32", {n_ - cut, c_}, {{"start", cut}, {"stop", n_}});
        return Emit("concat_rows", {rest, top}, "f32", {n_, c_});
      }
      case 19: {
        const uint64_t factor = 1 + random_.Below(3);
        const std::string y =
            Emit("upsample", {x}, "f32", {n_ * factor * factor, c_}, {{"grid", Grid()}, {"factor", factor}});
        const json grid = {height_ * factor, n_ / height_ * factor};
        return Emit("pool", {y}, "f32", {n_, c_},
                    {{"grid", grid}, {"kind", Kind()}, {"kernel", factor}, {"stride", factor}, {"padding", 0}});
      }
      case 20: {
        const uint64_t height = 1 + random_.Below(12), width = 1 + random_.Below(12);
        const json size = {height, width};
        const std::string y =
            Emit("resize_bilinear", {x}, "f32", {height * width, c_}, {{"grid", Grid()}, {"size", size}});
        return Emit("resize_bilinear", {y}, "f32", {n_, c_}, {{"grid", size}, {"size", Grid()}});
      }
      default:
        return Attention(x);
    }
  }

 private:
  json Grid() const { return {height_, n_ / height_}; }
  std::string Kind() { return random_.OneIn(2) ? "max" : "average"; }

  uint64_t Divisor(uint64_t n) {
    for (int i = 0; i < 8; ++i) {
      const uint64_t d = 1 + random_.Below(std::min<uint64_t>(n, 64));
      if (n % d == 0) return d;
    }
    return random_.OneIn(2) ? 1 : n;
  }

  // A parameter of the operator that was emitted last.
  void Tensor(const std::string& parameter, const std::string& type, const Axes& shape) {
    TensorPart part = {prefix_ + "." + std::to_string(n_tensors_++), type, shape, {}};
    const uint64_t n_bytes = TensorBytes(type, shape).value_or(0), n = n_bytes / ElementSize(type);
    for (uint64_t i = 0; i < n; ++i) {
      if (type == "F32") {
        const float value = random_.Small();
        part.bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
      } else if (type == "I32") {  // an index of a row
        const auto value = static_cast<int32_t>(random_.Below(n));
        part.bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
      } else if (type == "I16") {
        const auto value = static_cast<int16_t>(random_.Below(64));
        part.bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
      } else {
        part.bytes += static_cast<char>(random_.Next());
      }
    }
    operators.back()["tensors"][parameter] = part.name;
    parts_.tensors.push_back(std::move(part));
  }

  // Sets all elements of a float parameter.
  void SetFloats(const std::string& parameter, float value) {
    const std::string name = operators.back()["tensors"][parameter].get<std::string>();
    for (TensorPart& part : parts_.tensors) {
      if (part.name != name) continue;
      for (size_t i = 0; i + sizeof value <= part.bytes.size(); i += sizeof value) {
        std::memcpy(&part.bytes[i], &value, sizeof value);
      }
    }
  }

  // Bits in rows, 1 where a row goes on after its last one: cleared.
  void SignTensor(const std::string& parameter, Axes shape, uint64_t n_bits) {
    shape.push_back(Bytes(n_bits));
    Tensor(parameter, "U8", shape);
    if (n_bits % 8 == 0) return;
    std::string& bytes = parts_.tensors.back().bytes;
    for (size_t i = Bytes(n_bits) - 1; i < bytes.size(); i += Bytes(n_bits)) {
      bytes[i] = static_cast<char>(static_cast<uint8_t>(bytes[i]) & ((1u << (n_bits % 8)) - 1));
    }
  }

  std::string Value(const std::string& type, const Axes& shape) {
    const std::string name = prefix_ + "." + std::to_string(n_values_++);
    program_["values"][name] = {{"type", type}, {"shape", shape}};
    return name;
  }

  std::string Emit(const std::string& kind, const std::vector<std::string>& inputs, const std::string& type,
                   const Axes& shape, const json& attributes = json::object(),
                   const std::vector<std::pair<std::string, Axes>>& floats = {}) {
    const std::string out = Value(type, shape);
    operators.push_back({{"op", kind}, {"in", inputs}, {"out", {out}}});
    if (!attributes.empty()) operators.back()["attrs"] = attributes;
    for (const auto& [parameter, axes] : floats) Tensor(parameter, "F32", axes);
    return out;
  }

  std::string Rows(const std::string& kind, const std::string& x, const std::vector<std::string>& parameters,
                   const json& attributes = json::object()) {
    std::vector<std::pair<std::string, Axes>> floats;
    for (const std::string& parameter : parameters) floats.push_back({parameter, {c_}});
    return Emit(kind, {x}, "f32", {n_, c_}, attributes, floats);
  }

  // Sign bits, or mask bits where `any` and chance say so; the last axes may be heads.
  std::string Bits(const std::string& x, const Axes& shape, bool any = true) {
    switch (random_.Below(any ? 3 : 2)) {
      case 0:
        return Emit("sign", {x}, "sign", shape, {}, {{"threshold", {c_}}});
      case 1:
        return Emit("layer_norm_sign", {x}, "sign", shape, {{"eps", 1e-6}}, {{"weight", {c_}}, {"threshold", {c_}}});
      default:
        return Emit("mask", {x}, "mask", shape, {}, {{"threshold", {c_}}});
    }
  }

  std::string BinaryLinear(const std::string& bits, uint64_t k, uint64_t o) {
    const std::string y = Emit("binary_linear", {bits}, "f32", {n_, o}, {}, {{"scale", {o}}, {"bias", {o}}});
    SignTensor("weight", {o}, k);
    return y;
  }

  std::string Threshold(const std::string& bits, uint64_t o) {
    const std::string y = Emit("binary_linear_threshold", {bits}, random_.OneIn(2) ? "sign" : "mask", {n_, o});
    SignTensor("weight", {o}, c_);
    Tensor("low", "I16", {o});
    Tensor("high", "I16", {o});
    Tensor("flip", "U8", {o});
    for (char& byte : parts_.tensors.back().bytes) byte &= 1;
    return y;
  }

  std::string Stencil(const std::string& x) {
    json groups = json::array();
    const uint64_t n_groups = Divisor(c_);
    for (uint64_t g = 0; g < std::min<uint64_t>(n_groups, 16); ++g) {
      json taps = json::array();
      for (uint64_t t = 1 + random_.Below(4); t > 0; --t) {
        taps.push_back({static_cast<int64_t>(random_.Below(9)) - 4, static_cast<int64_t>(random_.Below(9)) - 4});
      }
      groups.push_back(taps);
    }
    if (c_ % groups.size() != 0) groups = json::array({groups[0]});
    return Emit("stencil", {x}, "f32", {n_, c_},
                {{"grid", Grid()}, {"groups", groups}, {"wrap", random_.OneIn(2)}, {"divisor", 1 + random_.Below(5)}});
  }

  std::string Convolution(const std::string& x) {
    const std::string bits = Bits(x, {n_, c_}, false);
    const uint64_t kernel = 1 + 2 * random_.Below(3), groups = Divisor(c_);
    const std::string y =
        Emit("binary_conv", {bits}, "f32", {n_, c_},
             {{"grid", Grid()}, {"kernel", kernel}, {"dilation", 1 + random_.Below(3)}, {"groups", groups}},
             {{"scale", {c_}}, {"bias", {c_}}});
    SignTensor("weight", {c_, kernel * kernel}, c_ / groups);
    return y;
  }

  std::string Attention(const std::string& x) {
    const uint64_t heads = Divisor(c_), width = c_ / heads;
    const std::string q = Bits(x, {n_, heads, width}, false), k = Bits(x, {n_, heads, width}, false);
    uint64_t n_planes = 1;
    std::string masks;
    if (random_.OneIn(4)) {
      const std::string gamma = Value("f32", {1});
      masks = Emit("attention_masks_statistics", {q, k}, "mask", {1, heads, n_, n_},
                   {{"phase", 1 + random_.Below(2)}, {"patches", random_.Below(n_ + 1)}}, {{"table", {width + 1}}});
      operators.back()["out"].push_back(gamma);
    } else {
      json rules = json::array();
      n_planes = 1 + random_.Below(4);
      for (uint64_t p = 0; p < n_planes; ++p) {
        switch (random_.Below(5)) {
          case 0:
            rules.push_back({"greater"});
            break;
          case 1:
            rules.push_back({"at_least"});
            break;
          case 2:
            rules.push_back({"row_max", 0.25});
            break;
          case 3:
            rules.push_back({"image_max", 0.5});
            break;
          default:
            rules.push_back({"ones"});
        }
      }
      bool has_thresholds = false;
      for (const json& rule : rules) has_thresholds |= rule[0] == "greater" || rule[0] == "at_least";
      masks = Emit("attention_masks", {q, k}, "mask", {n_planes, heads, n_, n_}, {{"planes", rules}},
                   {{"table", {width + 1}}});
      if (has_thresholds) Tensor("thresholds", "F32", {n_planes, heads});
      if (random_.OneIn(2)) {
        switch (random_.Below(3)) {
          case 0:
            Tensor("offset", "F32", {heads, n_});
            break;
          case 1:
            Tensor("offset", "F32", {heads, n_, n_});
            break;
          default:
            Tensor("offset", "I8", {heads, n_, n_});
            Tensor("offset_scale", "F32", {heads});
        }
      }
    }
    SetTable("table");
    json factors = json::array();
    const uint64_t n_ternary = 1 + random_.Below(3);
    for (uint64_t i = 1; i < n_ternary; ++i) factors.push_back(random_.Small());
    const std::string planes =
        Emit("value_planes", {x}, "ternary", {n_ternary, heads, width, n_}, {{"factors", factors}});
    return Emit("value_product", {masks, planes}, "f32", {n_, c_}, {},
                {{"row_scale", {n_planes, heads}}, {"column_scale", {n_ternary}}});
  }

  // Exponentials: 1, 1/2, 1/4, ...
  void SetTable(const std::string& parameter) {
    const std::string name = operators.back()["tensors"][parameter].get<std::string>();
    for (TensorPart& part : parts_.tensors) {
      if (part.name != name) continue;
      float value = 1;
      for (size_t i = 0; i + sizeof value <= part.bytes.size(); i += sizeof value, value /= 2) {
        std::memcpy(&part.bytes[i], &value, sizeof value);
      }
    }
  }

  json& program_;
  Parts& parts_;
  Random& random_;
  const uint64_t n_, c_;
  uint64_t height_ = 1;
  std::string prefix_;
  size_t n_values_ = 0, n_tensors_ = 0;
};

}  // namespace

bool InsertOperators(json& program, Parts& parts, Random& random, size_t reader, size_t place) {
  constexpr uint64_t kMostRows = 256, kMostChannels = 512;
  json& input = program["ops"][reader]["in"][place];
  if (!input.is_string() || !program["values"].contains(input.get<std::string>())) return false;
  const json& value = program["values"][input.get<std::string>()];
  if (!value.is_object() || !value.contains("type") || value["type"] != "f32" || !value.contains("shape")) return false;
  const json& shape = value["shape"];
  if (!shape.is_array() || shape.size() != 2) return false;
  if (!shape[0].is_number_unsigned() || !shape[1].is_number_unsigned()) return false;
  const uint64_t n = shape[0].get<uint64_t>(), c = shape[1].get<uint64_t>();
  if (n == 0 || c == 0 || n > kMostRows || c > kMostChannels) return false;
  Inserter inserter(program, parts, random, n, c);
  std::string x = input.get<std::string>();
  for (uint64_t times = 1 + random.Below(3); times > 0; --times) x = inserter.Insert(x);
  program["ops"][reader]["in"][place] = x;
  json operators = json::array();
  for (size_t i = 0; i < program["ops"].size(); ++i) {
    if (i == reader) operators.insert(operators.end(), inserter.operators.begin(), inserter.operators.end());
    operators.push_back(program["ops"][i]);
  }
  program["ops"] = std::move(operators);
  return true;
}

}  // namespace bitvit
