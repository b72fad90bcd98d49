// How many processors this process can really use.
#pragma once

#include <cstddef>
#include <string>

namespace bitvit {

// The processors that the calling thread may run on (its affinity), no more than the container's CPU quota pays for
// (cgroup versions 1 and 2, those of all parents included; parts of a processor do not count), at least 1. The
// environment variable BITVIT_PROCESSORS overrides it.
size_t UsableProcessors();

// The quota in processors, 0 without one. `root` is put before the paths /proc/self/... and before mount points: for
// tests.
double CpuQuota(const std::string& root);

}  // namespace bitvit
