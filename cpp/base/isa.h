// The instruction sets that kernels are written for, and which of them this CPU and operating system offer.
#pragma once

#include <string>
#include <vector>

namespace bitvit {

enum class Isa { kScalar, kAvx2, kAvx512 };

// "scalar", "avx2", "avx512": the names that users see.
const char* IsaName(Isa isa);

// All that this machine can run, slowest first. Asks the CPU (cpuid) and the operating system (xgetbv: are the wide
// registers saved on a context switch?). "avx512" means F, BW, DQ, VL, VNNI, BITALG and VPOPCNTDQ together.
const std::vector<Isa>& AvailableIsas();

// The one with that name; "" is the fastest available. Throws UnknownIsaError or UnavailableIsaError.
Isa SelectIsa(const std::string& name);

}  // namespace bitvit
