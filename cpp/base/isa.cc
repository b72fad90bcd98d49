#include "base/isa.h"

#include <cstdint>

#include "base/text.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace bitvit {
namespace {

#if defined(BITVIT_PORTABLE_ONLY)

std::vector<Isa> DetectIsas() { return {Isa::kPortable}; }

#elif defined(__x86_64__)

uint64_t ReadXcr0() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

bool AllBits(uint32_t value, std::initializer_list<int> bits) {
  for (const int bit : bits) {
    if (((value >> bit) & 1u) == 0) return false;
  }
  return true;
}

std::vector<Isa> DetectIsas() {
  std::vector<Isa> isas = {Isa::kPortable};
  uint32_t a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return isas;
  const bool popcnt = AllBits(c, {23});
  const bool avx_and_osxsave = AllBits(c, {27, 28});
  if (!popcnt || !avx_and_osxsave) return isas;
  const uint64_t xcr0 = ReadXcr0();
  if ((xcr0 & 0x6) != 0x6) return isas;  // xmm and ymm state
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return isas;
  const uint32_t leaf7_b = b, leaf7_c = c;
  uint32_t lzcnt_c = 0;
  if (__get_cpuid(0x80000001u, &a, &b, &lzcnt_c, &d) == 0) return isas;
  if (!AllBits(leaf7_b, {3, 5, 8}) || !AllBits(lzcnt_c, {5})) return isas;  // BMI1, AVX2, BMI2; LZCNT
  isas.push_back(Isa::kAvx2);
#if defined(BITVIT_EMULATE_AVX512)
  isas.push_back(Isa::kAvx512);
  return isas;
#endif
  if ((xcr0 & 0xe6) != 0xe6) return isas;                  // opmask and zmm state
  if (!AllBits(leaf7_b, {16, 17, 30, 31})) return isas;    // F, DQ, BW, VL
  if (!AllBits(leaf7_c, {1, 6, 11, 12, 14})) return isas;  // VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ
  isas.push_back(Isa::kAvx512);
  return isas;
}

#elif defined(__aarch64__)

bool HasDotProduct() {
#if defined(__linux__)
  constexpr unsigned long kDotProductBit = 1ul << 20;  // HWCAP_ASIMDDP
  return (getauxval(AT_HWCAP) & kDotProductBit) != 0;
#elif defined(__APPLE__)
  return true;  // every Mac and iPhone with a 64-bit system of today
#else
  return false;
#endif
}

std::vector<Isa> DetectIsas() {
  std::vector<Isa> isas = {Isa::kPortable};
  isas.push_back(Isa::kNeon);  // part of Armv8.0
  if (HasDotProduct()) isas.push_back(Isa::kNeonDotprod);
  return isas;
}

#elif defined(__wasm__)

std::vector<Isa> DetectIsas() { return {Isa::kSimd128}; }

#else

std::vector<Isa> DetectIsas() { return {Isa::kPortable}; }

#endif

}  // namespace

const char* IsaName(Isa isa) {
  switch (isa) {
#define BITVIT_INSTRUCTION_SET(name, id, architecture, options) \
  case Isa::id:                                                 \
    return #name;
#include "base/instruction_sets.inc"
#undef BITVIT_INSTRUCTION_SET
  }
  return "?";
}

const std::vector<Isa>& AvailableIsas() {
  static const std::vector<Isa> isas = DetectIsas();
  return isas;
}

Result<Isa> SelectIsa(const std::string& name) {
  const std::vector<Isa>& available = AvailableIsas();
  if (name.empty()) return available.back();
  std::string names;
  for (const Isa isa : available) {
    if (name == IsaName(isa)) return isa;
    names += names.empty() ? "" : ", ";
    names += IsaName(isa);
  }
  constexpr Isa kAll[] = {
#define BITVIT_INSTRUCTION_SET(isa_name, id, architecture, options) Isa::id,
#include "base/instruction_sets.inc"
#undef BITVIT_INSTRUCTION_SET
  };
  for (const Isa isa : kAll) {
    if (name == IsaName(isa)) {
      return Error{ErrorCode::kUnavailableIsa,
                   "instruction set " + Quoted(name) + " is not available on this machine, which has: " + names};
    }
  }
  return Error{ErrorCode::kUnknownIsa, "unknown instruction set " + Quoted(name) + "; this machine has: " + names};
}

}  // namespace bitvit
