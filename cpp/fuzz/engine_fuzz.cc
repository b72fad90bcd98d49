// Fuzz target: a file that is read runs, on several images, on every instruction set, with one and two threads, and
// the answer is that of the portable kernels on one thread with no value sharing memory with another.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "engine/program_builder.h"
#include "fuzz/fuzz_input.h"
#include "fuzz/random.h"
#include "program/model.h"

namespace {

using bitvit::Engine;
using Buffer = std::unique_ptr<std::byte[]>;

constexpr size_t kBatch = 3;
// Numbers up to here overflow in no operator: beyond, docs/format.md leaves open what comes out.
constexpr float kLargest = 1 << 20;

bitvit::Tally n_run("files_run"), n_compared("files_compared");

bool IsTame(const float* values, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    if (!(std::fabs(values[i]) <= kLargest)) return false;
  }
  return true;
}

std::unique_ptr<Engine> Build(const bitvit::Model& model, const std::vector<size_t>& outputs, long long threads,
                              const std::string& isa) {
  auto engine = bitvit::BuildEngine(model.program, model.tensors, outputs, threads, isa);
  if (engine.ok()) return std::move(engine).value();
  std::printf("a sound file does not build: %s\n", engine.error().message.c_str());
  std::abort();
}

// The engine's outputs for a batch, each in a block of its own.
std::vector<Buffer> Run(const Engine& engine, const std::byte* images, size_t batch) {
  std::vector<Buffer> outputs;
  std::vector<std::byte*> places;
  for (size_t i = 0; i < engine.n_outputs(); ++i) {
    outputs.emplace_back(new std::byte[batch * engine.output(i).stored_size_bytes()]());
    places.push_back(outputs.back().get());
  }
  bitvit::Interrupt interrupt;
  if (engine.Run({images}, places, batch, interrupt) != bitvit::RunOutcome::kDone) std::abort();
  return outputs;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto copy = std::make_shared<std::vector<uint8_t>>(data, data + size);
  const auto read = bitvit::ReadModel(reinterpret_cast<const std::byte*>(copy->data()), size, copy);
  if (!read.ok()) return 0;
  const bitvit::Model& model = **read;
  const bitvit::Program& program = model.program;

  std::vector<size_t> all;  // every value that an operator writes
  for (const bitvit::ProgramOperator& op : program.operators)
    all.insert(all.end(), op.outputs.begin(), op.outputs.end());
  if (all.empty()) return 0;
  const std::unique_ptr<Engine> plain = Build(model, all, 1, "portable");
  const size_t image_bytes = plain->input(0).stored_size_bytes();
  bitvit::Random random(size);
  const Buffer images(new std::byte[kBatch * image_bytes]);
  for (size_t i = 0; i < kBatch * image_bytes; ++i) images[i] = static_cast<std::byte>(random.Next());

  bool is_comparable = true;
  for (const auto& [name, tensor] : model.tensors) {
    is_comparable =
        is_comparable && (tensor.type != bitvit::DataType::kF32 || IsTame(tensor.as<float>(), tensor.n_elements()));
  }
  std::vector<Buffer> expected(kBatch);
  for (size_t image = 0; image < kBatch; ++image) {
    std::vector<Buffer> values = Run(*plain, images.get() + image * image_bytes, 1);
    for (size_t i = 0; i < all.size(); ++i) {
      const bitvit::Value& value = program.values[all[i]];
      if (value.type == bitvit::ValueType::kF32) {
        is_comparable = is_comparable && IsTame(reinterpret_cast<const float*>(values[i].get()), value.n_elements());
      }
      if (all[i] == program.output) expected[image] = std::move(values[i]);
    }
  }
  const std::vector<bitvit::Isa> isas = bitvit::AvailableIsas();
  const long long n_threads = 1 + static_cast<long long>(size % 2);
  for (const bitvit::Isa isa : {isas.back(), isas[size / 2 % isas.size()]}) {
    const std::unique_ptr<Engine> engine =
        Build(model, {program.output}, isa == isas.back() ? n_threads : 3 - n_threads, bitvit::IsaName(isa));
    const std::vector<Buffer> found = Run(*engine, images.get(), kBatch);
    const size_t n_bytes = engine->output(0).stored_size_bytes();
    for (size_t image = 0; image < kBatch && is_comparable; ++image) {
      if (expected[image] == nullptr) break;  // the output is the input
      if (std::memcmp(found[0].get() + image * n_bytes, expected[image].get(), n_bytes) == 0) continue;
      std::printf("image %zu: %s with %zu threads differs from portable\n", image, bitvit::IsaName(isa),
                  engine->n_threads());
      std::abort();
    }
  }
  n_run.Count();
  if (is_comparable) n_compared.Count();
  return 0;
}
