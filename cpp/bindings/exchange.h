// How near to each other two processors are.
#pragma once

namespace bitvit {

// Nanoseconds that a cache line takes to another thread's processor and back: the least of some short runs. NaN: there
// is no other thread, or it was never on a processor at the same time.
double ExchangeNs();

}  // namespace bitvit
