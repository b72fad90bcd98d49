// Starts a thread without exceptions: std::thread has no other way to say that there is none.
#pragma once

namespace bitvit {

// Runs work(argument) on a new, detached thread that no signal is delivered to. Returns false if the system cannot
// start one.
bool StartThread(void (*work)(void* argument), void* argument);

}  // namespace bitvit
