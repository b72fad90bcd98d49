#include "base/processors.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#elif defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#endif

namespace bitvit {
namespace {

constexpr size_t kMostProcessors = 1 << 16;

// Not by streams of the C++ library, here and in all of the engine: a process can hold two copies of that library, one
// of them linked into a module like this one, and their locales, which streams use, then crash each other.
std::string ReadFile(const std::string& path) {
  std::string text;
  std::FILE* const file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return text;
  char block[4096];
  for (size_t n; (n = std::fread(block, 1, sizeof block, file)) > 0;) text.append(block, n);
  std::fclose(file);
  return text;
}

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// Numbers at the beginning of a text, separated by spaces; as many as there are.
std::vector<double> Numbers(const std::string& text) {
  std::vector<double> numbers;
  for (const char* at = text.c_str();;) {
    char* end = nullptr;
    const double number = std::strtod(at, &end);
    if (end == at) return numbers;
    numbers.push_back(number);
    at = end;
  }
}

bool Contains(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

bool IsOctal(char c) { return c >= '0' && c <= '7'; }

// The kernel writes spaces, tabs, line ends and backslashes of paths as \040 and the like.
std::string Unescaped(const std::string& text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool is_escape =
        text[i] == '\\' && i + 3 < text.size() && IsOctal(text[i + 1]) && IsOctal(text[i + 2]) && IsOctal(text[i + 3]);
    result += is_escape ? static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'))
                        : text[i];
    if (is_escape) i += 3;
  }
  return result;
}

// Where a hierarchy of control groups is mounted, and which of its groups the mount point shows.
struct Mount {
  std::string root, point;
};

// The mount of version 2, or that of version 1 that governs CPU time. Lines of mountinfo:
// 36 35 98:0 /root /mount/point options [optional fields] - type source super_options
bool FindMount(const std::string& root, bool is_version_2, Mount* found) {
  for (const std::string& line : Split(ReadFile(root + "/proc/self/mountinfo"), '\n')) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const std::vector<std::string> fields = Split(line.substr(0, dash), ' '), rest = Split(line.substr(dash + 3), ' ');
    if (fields.size() < 5 || rest.empty() || rest[0] != (is_version_2 ? "cgroup2" : "cgroup")) continue;
    if (!is_version_2 && (rest.size() < 3 || !Contains(Split(rest[2], ','), "cpu"))) continue;
    *found = {Unescaped(fields[3]), Unescaped(fields[4])};
    return true;
  }
  return false;
}

// The group of this process. Lines of /proc/self/cgroup: 4:cpu,cpuacct:/path, or 0::/path for version 2.
bool FindGroup(const std::string& root, bool is_version_2, std::string* path) {
  for (const std::string& line : Split(ReadFile(root + "/proc/self/cgroup"), '\n')) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (is_version_2 ? line.compare(0, first, "0") != 0 || !controllers.empty()
                     : !Contains(Split(controllers, ','), "cpu")) {
      continue;
    }
    *path = line.substr(second + 1);
    return true;
  }
  return false;
}

// Processors that the group in `folder` may use, 0 without a limit.
double QuotaOf(const std::string& folder, bool is_version_2) {
  std::vector<double> limit;  // quota, period
  if (is_version_2) {
    limit = Numbers(ReadFile(folder + "/cpu.max"));  // "50000 100000", or "max 100000"
  } else {
    limit = Numbers(ReadFile(folder + "/cpu.cfs_quota_us"));  // -1: no limit
    const std::vector<double> period = Numbers(ReadFile(folder + "/cpu.cfs_period_us"));
    limit.insert(limit.end(), period.begin(), period.end());
  }
  const double quota = limit.size() >= 2 && limit[0] > 0 && limit[1] > 0 ? limit[0] / limit[1] : 0;
  return std::isfinite(quota) ? quota : 0;
}

double LeastQuota(const std::string& root, bool is_version_2) {
  Mount mount;
  std::string path;
  if (!FindGroup(root, is_version_2, &path) || !FindMount(root, is_version_2, &mount)) return 0;
  // In a container the mount point may show the container's own group, and the path be that of the host.
  if (mount.root != "/" && path.compare(0, mount.root.size(), mount.root) == 0) path = path.substr(mount.root.size());
  if (path.find("..") != std::string::npos) path.clear();
  double least = 0;
  while (true) {  // the group, its parent, ... and the root
    while (!path.empty() && path.back() == '/') path.pop_back();
    const double quota = QuotaOf(root + mount.point + path, is_version_2);
    if (quota > 0 && (least == 0 || quota < least)) least = quota;
    if (path.empty()) return least;
    path.erase(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
}

size_t AllowedProcessors() {
#if defined(__linux__)
  for (size_t n = 1024; n <= kMostProcessors; n *= 2) {  // the kernel's own mask may be longer than cpu_set_t
    cpu_set_t* const set = CPU_ALLOC(n);
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(n);
    CPU_ZERO_S(bytes, set);
    const bool is_known = sched_getaffinity(0, bytes, set) == 0;
    const int count = is_known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (count > 0) return static_cast<size_t>(count);
  }
#endif
#if defined(__unix__) || defined(__APPLE__)
  const long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count < 1 ? 1 : static_cast<size_t>(count);
#elif defined(_WIN32)
  DWORD_PTR process = 0, system = 0;
  if (GetProcessAffinityMask(GetCurrentProcess(), &process, &system) == 0) return 1;
  size_t count = 0;
  for (; process != 0; process &= process - 1) ++count;
  return count == 0 ? 1 : count;
#else
  return 1;
#endif
}

}  // namespace

double CpuQuota(const std::string& root) {
  const double version_1 = LeastQuota(root, false), version_2 = LeastQuota(root, true);
  if (version_1 == 0 || version_2 == 0) return std::max(version_1, version_2);
  return std::min(version_1, version_2);
}

size_t UsableProcessors() {
  if (const char* const text = std::getenv("BITVIT_PROCESSORS"); text != nullptr) {
    const long given = std::strtol(text, nullptr, 10);
    if (given >= 1 && given <= static_cast<long>(kMostProcessors)) return static_cast<size_t>(given);
  }
  size_t count = AllowedProcessors();
#if defined(__linux__)
  const double quota = CpuQuota("");
  if (quota > 0 && quota < static_cast<double>(count)) count = quota < 1 ? 1 : static_cast<size_t>(quota);
#endif
  return count;
}

}  // namespace bitvit
