// What the fuzz targets share: the mutator that libFuzzer calls.
#pragma once

#include <cstddef>
#include <cstdint>

// libFuzzer's own changes of single bytes.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed);
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
