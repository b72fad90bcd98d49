// Reader and engine without Python: `reader_test FILE`, FILE being a sound .bitvit file. Every truncation and every
// changed byte is refused in one line, or reads as the file that it was. Prints `ok` and the digest (FNV-1a) of the
// output for an image whose byte i is 31 i.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "engine/program_builder.h"
#include "program/model.h"

namespace {

using Bytes = std::vector<char>;

int n_failures = 0;

void Expect(bool holds, const std::string& what) {
  if (holds) return;
  std::printf("failed: %s\n", what.c_str());
  ++n_failures;
}

bitvit::Result<std::shared_ptr<const bitvit::Model>> Read(const Bytes& bytes) {
  // A block of exactly that size, so that sanitizers see every byte read beyond it.
  auto copy = std::make_shared<Bytes>(bytes);
  copy->shrink_to_fit();
  return bitvit::ReadModel(reinterpret_cast<const std::byte*>(copy->data()), copy->size(), copy);
}

uint64_t Digest(const std::vector<std::byte>& bytes) {
  uint64_t digest = 0xcbf29ce484222325;
  for (const std::byte byte : bytes) digest = (digest ^ static_cast<uint64_t>(byte)) * 0x100000001b3;
  return digest;
}

void ExpectRefused(const Bytes& bytes, bitvit::ErrorCode code, const std::string& what) {
  const auto model = Read(bytes);
  Expect(!model.ok() && model.error().code == code, what);
  if (!model.ok()) Expect(model.error().message.find('\n') == std::string::npos, what + ": one line");
}

}  // namespace

int main(int n_arguments, char** arguments) {
  if (n_arguments != 2) {
    std::printf("usage: reader_test FILE\n");
    return 2;
  }
  std::ifstream stream(arguments[1], std::ios::binary);
  const Bytes bytes((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());

  const auto model = Read(bytes);
  Expect(model.ok(), "the file is read");
  if (!model.ok()) {
    std::printf("%s: %s\n", bitvit::ErrorName(model.error().code), model.error().message.c_str());
    return 1;
  }
  const bitvit::Program& program = (*model)->program;
  const auto engine = bitvit::BuildEngine(program, (*model)->tensors, {program.output}, 1, "");
  Expect(engine.ok(), "an engine is built");
  if (!engine.ok()) return 1;
  std::vector<std::byte> image((*engine)->input(0).stored_size_bytes());
  for (size_t i = 0; i < image.size(); ++i) image[i] = static_cast<std::byte>(31 * i & 255);
  std::vector<std::byte> output((*engine)->output(0).stored_size_bytes());
  bitvit::Interrupt never;
  Expect((*engine)->Run({image.data()}, {output.data()}, 1, never) == bitvit::RunOutcome::kDone, "the engine runs");

  for (size_t size = 0; size < bytes.size(); ++size) {
    ExpectRefused(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)),
                  bitvit::ErrorCode::kTruncatedFile, "truncated to " + std::to_string(size) + " bytes");
  }
  Bytes longer = bytes;
  longer.push_back('\0');
  ExpectRefused(longer, bitvit::ErrorCode::kNotABitvitFile, "a byte more");
  for (size_t place = 0; place < bytes.size(); ++place) {
    for (const int flip : {1, 4, 128, 255}) {
      Bytes changed = bytes;
      changed[place] = static_cast<char>(changed[place] ^ flip);
      const auto found = Read(changed);
      if (found.ok()) Expect((*found)->metadata == (*model)->metadata, "byte " + std::to_string(place));
    }
  }
  if (n_failures == 0) std::printf("ok %016llx\n", static_cast<unsigned long long>(Digest(output)));
  return n_failures == 0 ? 0 : 1;
}
