// The instruction sets that kernels are written for, and which of them this CPU and operating system offer.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace bitvit {

enum class Isa {
#define BITVIT_INSTRUCTION_SET(name, id, architecture, options) id,
#include "base/instruction_sets.inc"
#undef BITVIT_INSTRUCTION_SET
};

// BITVIT_IF_<architecture>(code): the code where this is compiled for that architecture, else nothing. A build with
// BITVIT_PORTABLE_ONLY (CMakeLists.txt) has the kernels of no architecture. `any` is any that may lack vectors: a
// WebAssembly engine without SIMD128 refuses the module as a whole.
#if defined(__wasm__)
#define BITVIT_IF_any(...)
#else
#define BITVIT_IF_any(...) __VA_ARGS__
#endif
#if defined(__x86_64__) && !defined(BITVIT_PORTABLE_ONLY)
#define BITVIT_IF_x86(...) __VA_ARGS__
#else
#define BITVIT_IF_x86(...)
#endif
#if defined(__aarch64__) && !defined(BITVIT_PORTABLE_ONLY)
#define BITVIT_IF_arm(...) __VA_ARGS__
#else
#define BITVIT_IF_arm(...)
#endif
#if defined(__wasm__) && !defined(BITVIT_PORTABLE_ONLY)
#define BITVIT_IF_wasm(...) __VA_ARGS__
#else
#define BITVIT_IF_wasm(...)
#endif

// "portable", "avx2", "avx512", "neon": the names that users see.
const char* IsaName(Isa isa);

// All that this machine can run, slowest first. Asks the CPU (cpuid) and the operating system (xgetbv: are the wide
// registers saved on a context switch?). "portable" runs everywhere (but in WebAssembly, where "simd128" is all that
// there is): vectors of four lanes, which compilers turn into SSE2 or NEON. "neon" is part of every AArch64;
// "neon_dotprod" has sdot as well. "avx512" means F, BW, DQ, VL, VNNI, BITALG, VPOPCNTDQ, VBMI and VBMI2 together.
const std::vector<Isa>& AvailableIsas();

// The one with that name; "" is the fastest available. Errors: UnknownIsa, UnavailableIsa.
Result<Isa> SelectIsa(const std::string& name);

}  // namespace bitvit
