#include "c/bitvit.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#elif defined(_WIN32)
#include <io.h>
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#endif

#include "base/text.h"
#include "predictor/predictor.h"
#include "program/limits.h"

// A model of the C face is a Predictor.
struct bitvit_model {
  std::unique_ptr<const bitvit::Predictor> predictor;
};

namespace bitvit {
namespace {

constexpr int CodeOf(ErrorCode code) { return static_cast<int>(code) + 1; }
static_assert(CodeOf(ErrorCode::kUnreadableFile) == BITVIT_ERROR_UNREADABLE_FILE);
static_assert(CodeOf(ErrorCode::kTensorContent) == BITVIT_ERROR_TENSOR_CONTENT);
static_assert(CodeOf(ErrorCode::kOutOfMemory) == BITVIT_ERROR_OUT_OF_MEMORY);

bitvit_code Fail(ErrorCode code, const char* message, bitvit_error* error) {
  const auto result = static_cast<bitvit_code>(CodeOf(code));
  if (error != nullptr) {
    error->code = result;
    std::snprintf(error->message, sizeof(error->message), "%s", message);
  }
  return result;
}

// Runs the work of a function; whatever comes of it becomes a code.
template <typename Work>
bitvit_code Guarded(bitvit_error* error, Work work) noexcept {
  constexpr const char* kNoMemory = "there is not enough memory; use fewer threads, or a smaller network";
  const auto finish = [&] {
    const Status status = work();
    if (!status.ok()) return Fail(status.error().code, status.error().message.c_str(), error);
    if (error != nullptr) *error = bitvit_error{BITVIT_OK, ""};
    return BITVIT_OK;
  };
#if defined(__cpp_exceptions)
  try {
    return finish();
  } catch (...) {  // nothing here throws but lack of memory
    return Fail(ErrorCode::kOutOfMemory, kNoMemory, error);
  }
#else
  (void)kNoMemory;
  return finish();
#endif
}

Status Missing(const char* what) { return {ErrorCode::kInput, std::string(what) + " is NULL"}; }

Status Load(const std::byte* data, size_t size, const bitvit_options* options, bitvit_model** model) {
  const bitvit_options defaults = {};
  const bitvit_options& chosen = options == nullptr ? defaults : *options;
  BITVIT_ASSIGN(auto predictor, Predictor::Read(data, size, chosen.threads, chosen.isa == nullptr ? "" : chosen.isa));
  *model = new bitvit_model{std::move(predictor)};
  return {};
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

// Null for what cannot be read, and for pipes and devices, which could last for ever.
std::FILE* OpenRegularFile(const char* path) {
#if defined(__unix__) || defined(__APPLE__)
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // else a named pipe waits for a writer
  if (descriptor < 0) return nullptr;
  struct stat about = {};
  std::FILE* const file = fstat(descriptor, &about) == 0 && S_ISREG(about.st_mode) ? fdopen(descriptor, "rb") : nullptr;
  if (file == nullptr) close(descriptor);
  return file;
#elif defined(_WIN32)
  const int size = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, nullptr, 0);
  std::wstring wide(static_cast<size_t>(size), L'\0');
  MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide.data(), size);
  // What is not UTF-8 comes from the arguments of a program, in the system's code page.
  std::FILE* const file = size > 0 ? _wfopen(wide.c_str(), L"rb") : std::fopen(path, "rb");
  if (file == nullptr) return nullptr;
  const auto handle = reinterpret_cast<HANDLE>(_get_osfhandle(_fileno(file)));
  if (GetFileType(handle) == FILE_TYPE_DISK) return file;
  std::fclose(file);
  return nullptr;
#else
  return std::fopen(path, "rb");
#endif
}

Status LoadFile(const char* path, const bitvit_options* options, bitvit_model** model) {
  const std::string name = Quoted(path);
  const std::unique_ptr<std::FILE, CloseFile> file(OpenRegularFile(path));
  if (file == nullptr) {
    return {ErrorCode::kUnreadableFile, name + " does not exist, cannot be read, or is not a regular file"};
  }
  std::vector<std::byte> content;
  constexpr size_t kPiece = size_t{1} << 20;
  size_t n_read = kPiece;
  while (n_read == kPiece) {
    const size_t size = content.size();
    if (size > kMaxFileBytes) return {ErrorCode::kSizeLimit, name + " is larger than 256 MiB"};
    content.resize(size + kPiece);
    n_read = std::fread(content.data() + size, 1, kPiece, file.get());
    content.resize(size + n_read);
  }
  if (std::ferror(file.get()) != 0) return {ErrorCode::kUnreadableFile, name + " cannot be read"};
  const Status status = Load(content.data(), content.size(), options, model);
  if (status.ok()) return {};
  return {status.error().code, name + ": " + status.error().message};
}

Result<Pixels> ToPixels(const bitvit_image* image) {
  if (image == nullptr || image->pixels == nullptr) return Missing("the image");
  BITVIT_ASSIGN(Pixels pixels, PackedPixels(image->pixels, image->height, image->width, image->channels));
  if (image->row_bytes != 0) {
    if (image->row_bytes < image->width * image->channels || image->row_bytes > PTRDIFF_MAX / image->height) {
      return Error{ErrorCode::kInput, "row_bytes is " + std::to_string(image->row_bytes) + ", but a row has " +
                                          std::to_string(image->width * image->channels) + " bytes"};
    }
    pixels.row_step = static_cast<std::ptrdiff_t>(image->row_bytes);
  }
  return Upright(pixels, image->orientation == 0 ? 1 : image->orientation);
}

Status Predict(const Predictor& predictor, const bitvit_image* image, bitvit_ranked* ranked, size_t n) {
  BITVIT_ASSIGN(const Pixels photo, ToPixels(image));
  std::vector<float> logits(predictor.labels().size());
  BITVIT_TRY(predictor.PhotoLogits(photo, logits.data()));
  for (const Ranked& best : Rank(logits.data(), logits.size(), n)) *ranked++ = {best.index, best.probability};
  return {};
}

}  // namespace
}  // namespace bitvit

using bitvit::Guarded;
using bitvit::Missing;
using bitvit::Pixels;
using bitvit::Status;
using bitvit::ToPixels;

const char* bitvit_code_name(bitvit_code code) {
  if (code == BITVIT_OK) return "OK";
  if (code < BITVIT_OK || code > BITVIT_ERROR_OUT_OF_MEMORY) return "?";
  return bitvit::ErrorName(static_cast<bitvit::ErrorCode>(static_cast<int>(code) - 1));
}

const char* bitvit_version(void) { return BITVIT_VERSION; }

bitvit_code bitvit_load_file(const char* path, const bitvit_options* options, bitvit_model** model,
                             bitvit_error* error) {
  return Guarded(error, [&]() -> Status {
    if (model == nullptr) return Missing("model");
    *model = nullptr;
    return path == nullptr ? Missing("path") : bitvit::LoadFile(path, options, model);
  });
}

bitvit_code bitvit_load_memory(const void* data, size_t size, const bitvit_options* options, bitvit_model** model,
                               bitvit_error* error) {
  return Guarded(error, [&]() -> Status {
    if (model == nullptr) return Missing("model");
    *model = nullptr;
    if (data == nullptr) return Missing("data");
    return bitvit::Load(static_cast<const std::byte*>(data), size, options, model);
  });
}

void bitvit_free(bitvit_model* model) { delete model; }

bitvit_task bitvit_model_task(const bitvit_model* model) {
  return model->predictor->task() == bitvit::Task::kSegmentation ? BITVIT_SEGMENTATION : BITVIT_CLASSIFICATION;
}

size_t bitvit_class_count(const bitvit_model* model) { return model->predictor->labels().size(); }

const char* bitvit_label(const bitvit_model* model, size_t index) {
  const auto& labels = model->predictor->labels();
  return index < labels.size() ? labels[index].c_str() : nullptr;
}

void bitvit_color(const bitvit_model* model, size_t index, uint8_t rgb[3]) {
  if (index >= bitvit_class_count(model)) index = 0;
  const auto color = model->predictor->color(index);
  std::copy(color.begin(), color.end(), rgb);
}

void bitvit_input_size(const bitvit_model* model, size_t* width, size_t* height, size_t* channels) {
  *width = model->predictor->preprocessing().width;
  *height = model->predictor->preprocessing().height;
  *channels = model->predictor->preprocessing().channels;
}

void bitvit_grid_size(const bitvit_model* model, size_t* width, size_t* height) {
  *width = model->predictor->grid_width();
  *height = model->predictor->grid_height();
}

const char* bitvit_metadata(const bitvit_model* model, const char* key) {
  for (const auto& [name, text] : model->predictor->metadata()) {
    if (name == key) return text.c_str();
  }
  return nullptr;
}

const char* bitvit_isa(const bitvit_model* model) { return bitvit::IsaName(model->predictor->engine().isa()); }

size_t bitvit_threads(const bitvit_model* model) { return model->predictor->engine().n_threads(); }

bitvit_code bitvit_predict(const bitvit_model* model, const bitvit_image* image, bitvit_ranked* ranked, size_t n,
                           bitvit_error* error) {
  return Guarded(error, [&]() -> Status {
    if (model == nullptr || (ranked == nullptr && n != 0)) return Missing("model or ranked");
    return bitvit::Predict(*model->predictor, image, ranked, n);
  });
}

bitvit_code bitvit_logits(const bitvit_model* model, const bitvit_image* image, float* logits, bitvit_error* error) {
  return Guarded(error, [&]() -> Status {
    if (model == nullptr || logits == nullptr) return Missing("model or logits");
    BITVIT_ASSIGN(const Pixels photo, ToPixels(image));
    return model->predictor->PhotoLogits(photo, logits);
  });
}

bitvit_code bitvit_label_map(const bitvit_model* model, const bitvit_image* image, uint8_t* label_map,
                             bitvit_error* error) {
  return Guarded(error, [&]() -> Status {
    if (model == nullptr || label_map == nullptr) return Missing("model or label_map");
    BITVIT_ASSIGN(const Pixels photo, ToPixels(image));
    return model->predictor->LabelMap(photo, label_map);
  });
}

bitvit_code bitvit_prepare(const bitvit_model* model, const bitvit_image* image, uint8_t* prepared,
                           bitvit_error* error) {
  return Guarded(error, [&]() -> Status {
    if (model == nullptr || prepared == nullptr) return Missing("model or prepared");
    BITVIT_ASSIGN(const Pixels photo, ToPixels(image));
    return bitvit::FitImage(photo, model->predictor->preprocessing(), prepared);
  });
}

bitvit_code bitvit_run_logits(const bitvit_model* model, const uint8_t* prepared, size_t batch, float* logits,
                              bitvit_error* error) {
  return Guarded(error, [&]() -> Status {
    if (model == nullptr || prepared == nullptr || logits == nullptr) return Missing("model, prepared or logits");
    return model->predictor->RunLogits(prepared, batch, logits);
  });
}

bitvit_code bitvit_run_classes(const bitvit_model* model, const uint8_t* prepared, size_t batch, int32_t* classes,
                               bitvit_error* error) {
  return Guarded(error, [&]() -> Status {
    if (model == nullptr || prepared == nullptr || classes == nullptr) return Missing("model, prepared or classes");
    return model->predictor->RunCells(prepared, batch, classes);
  });
}
