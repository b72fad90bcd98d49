#include "program/model.h"

#include "base/text.h"
#include "program/fields.h"
#include "program/limits.h"
#include "program/preprocessing.h"
#include "program/validation.h"

namespace bitvit {
namespace {

constexpr const char* kRequiredKeys[] = {"checksum",      "format",     "format_version", "labels",
                                         "preprocessing", "provenance", "program",        "task"};
constexpr const char* kOptionalKey = "colors";

Status CheckVersion(const std::map<std::string, std::string>& metadata) {
  const auto found = metadata.find("format_version");
  const std::string text = found == metadata.end() ? "" : found->second;
  int version = text.empty() || text.size() > 9 || text[0] == '0' ? -1 : 0;
  for (const char digit : text) {
    if (version >= 0) version = digit < '0' || digit > '9' ? -1 : version * 10 + (digit - '0');
  }
  if (version < 0) return {ErrorCode::kMetadata, "'format_version' must be a positive number"};
  const std::string known = "; this bitvit reads version " + std::to_string(kFormatVersion);
  if (version > kFormatVersion) {
    return {ErrorCode::kNewerFormat, "format version " + text + known + ": upgrade bitvit"};
  }
  if (version < kFormatVersion) {
    return {ErrorCode::kOlderFormat,
            "format version " + text + ", from before the first release" + known + ": export the file again"};
  }
  return {};
}

Status CheckKeys(const std::map<std::string, std::string>& metadata) {
  for (const char* key : kRequiredKeys) {
    if (metadata.count(key) == 0) return {ErrorCode::kMetadata, "the metadata lacks " + Quoted(key)};
  }
  for (const auto& [key, text] : metadata) {
    bool is_known = key == kOptionalKey;
    for (const char* known : kRequiredKeys) is_known = is_known || key == known;
    if (!is_known) return {ErrorCode::kMetadata, "the metadata has the unknown key " + Quoted(key)};
  }
  return {};
}

Result<Task> ReadTask(const std::string& text) {
  if (text == "classification") return Task::kClassification;
  if (text == "segmentation") return Task::kSegmentation;
  return Error{ErrorCode::kMetadata, "unknown task " + Quoted(text) + "; a newer bitvit may know it"};
}

Result<std::vector<std::string>> ReadLabels(const std::string& text) {
  BITVIT_ASSIGN(const JsonDocument document, ParseJson(text, "'labels'", kMaxLabelsValues));
  const Json root = document.root();
  std::vector<std::string> labels;
  if (!root.is_array()) return Error{ErrorCode::kLabels, "labels must be a list of strings"};
  Json label = root.first();
  for (size_t i = 0; i < root.size(); ++i, label = label.next()) {
    if (!label.is_string()) return Error{ErrorCode::kLabels, "labels must be a list of strings"};
    labels.emplace_back(label.string());
  }
  return labels;
}

Result<std::vector<std::array<uint8_t, 3>>> ReadColors(const std::string& text) {
  const Error wrong = {ErrorCode::kLabels, "colors must be a list of [red, green, blue], each from 0 to 255"};
  BITVIT_ASSIGN(const JsonDocument document, ParseJson(text, "'colors'", kMaxLabelsValues * 4));
  const Json root = document.root();
  if (!root.is_array()) return wrong;
  std::vector<std::array<uint8_t, 3>> colors;
  Json color = root.first();
  for (size_t i = 0; i < root.size(); ++i, color = color.next()) {
    if (!color.is_array() || color.size() != 3) return wrong;
    Json part = color.first();
    std::array<uint8_t, 3>& rgb = colors.emplace_back();
    for (size_t c = 0; c < 3; ++c, part = part.next()) {
      if (part.type() != JsonType::kInteger || part.integer() < 0 || part.integer() > 255) return wrong;
      rgb[c] = static_cast<uint8_t>(part.integer());
    }
  }
  return colors;
}

Status CheckProvenance(const std::string& text) {
  BITVIT_ASSIGN(const JsonDocument document, ParseJson(text, "'provenance'", kMaxProvenanceValues));
  if (!document.root().is_object()) return {ErrorCode::kMetadata, "provenance must be a JSON object"};
  return {};
}

}  // namespace

Result<std::shared_ptr<const Model>> ReadModel(const std::byte* data, size_t size, std::shared_ptr<const void> owner) {
  BITVIT_ASSIGN(Container container, ReadContainer(data, size, std::move(owner)));
  BITVIT_TRY(CheckVersion(container.metadata));
  BITVIT_TRY(CheckKeys(container.metadata));
  if (container.metadata["checksum"] != Checksum(container)) {
    return Error{ErrorCode::kChecksum, "the checksum does not match: the file is damaged; copy or export it again"};
  }
  auto model = std::make_shared<Model>();
  model->metadata = std::move(container.metadata);
  model->tensors = std::move(container.tensors);
  std::map<std::string, std::string>& metadata = model->metadata;
  BITVIT_ASSIGN(model->task, ReadTask(metadata["task"]));
  BITVIT_ASSIGN(model->program, ReadProgram(metadata["program"]));
  BITVIT_ASSIGN(model->preprocessing, ReadPreprocessing(metadata["preprocessing"]));
  BITVIT_ASSIGN(model->labels, ReadLabels(metadata["labels"]));
  if (metadata.count(kOptionalKey) != 0) {
    BITVIT_ASSIGN(model->colors, ReadColors(metadata[kOptionalKey]));
  }
  BITVIT_TRY(CheckProvenance(metadata["provenance"]));
  BITVIT_TRY(CheckProgram(model->program, model->tensors));
  BITVIT_TRY(CheckModel(*model));
  return std::shared_ptr<const Model>(std::move(model));
}

}  // namespace bitvit
