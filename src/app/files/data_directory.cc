#include "app/files/data_directory.h"

#include <boost/json.hpp>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace polis::app {
namespace {

namespace json = boost::json;

// Closes a descriptor at the end of a scope.
struct Descriptor {
  int number = -1;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
  int release() { return std::exchange(number, -1); }
};

Result<void> make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return fail(system_error(error.value(), "make the folder " + path));
  return {};
}

Result<void> write_all(int file, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    ssize_t written = ::write(file, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(system_error(errno, "write " + path));
    content.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

Result<void> check_layout(const std::string& path) {
  std::string name = path + "/format";
  auto found = read_text_file(name, 64);
  if (!found && found.error().code() == Code::kNotFound)
    return write_private_file(name, fmt::format("polis {}\n", kLayoutVersion));
  if (!found) return fail(found.error());
  int version = 0;
  if (std::sscanf(found->c_str(), "polis %d", &version) != 1)
    return fail(Code::kCorrupt,
                fmt::format("{} does not name a version of polis: is {} a data directory of polis?", name, path));
  if (version > kLayoutVersion)
    return fail(Code::kUnsupported,
                fmt::format("{} was written by a newer polis (layout {}, this one knows {}): start that one", path,
                            version, kLayoutVersion));
  return {};
}

}  // namespace

Result<std::string> choose_data_directory(std::string_view given) {
  std::string path(given);
  if (path.empty())
    if (const char* preset = std::getenv("POLIS_DATA")) path = preset;
  if (path.empty()) {
    const char* home = std::getenv("HOME");
    if (!home || !*home) return fail(Code::kInvalid, "HOME is not set: name the data directory with --data DIR");
    path = std::string(home) + "/.polis";
  }
  std::error_code error;
  std::filesystem::path absolute = std::filesystem::absolute(path, error);
  if (error) return fail(system_error(error.value(), "find " + path));
  return absolute.lexically_normal().string();
}

Result<std::unique_ptr<DataDirectory>> DataDirectory::open(std::string path) {
  bool fresh = !std::filesystem::exists(path);
  TRY(make_folder(path + "/run"));
  if (fresh) ::chmod(path.c_str(), 0700);

  std::string lock_name = path + "/run/polis.lock";
  Descriptor lock{::open(lock_name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  if (lock.number < 0) return fail(system_error(errno, "open " + lock_name));
  if (::flock(lock.number, LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    ssize_t size = ::pread(lock.number, holder, sizeof holder - 1, 0);
    int pid = size > 0 ? std::atoi(holder) : 0;
    return fail(
        Code::kBusy,
        fmt::format("{} is held by process {}: stop that polis (kill {}), or choose another directory with --data",
                    path, pid ? std::to_string(pid) : "(unknown)", pid ? std::to_string(pid) : "PID"));
  }
  TRY(check_layout(path));
  std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(lock.number, 0) != 0 || ::pwrite(lock.number, pid.data(), pid.size(), 0) < 0)
    return fail(system_error(errno, "write " + lock_name));

  std::unique_ptr<DataDirectory> directory(new DataDirectory(std::move(path), lock.release()));
  // What a killed process left.
  ::unlink(directory->file("run/ready.json").c_str());
  ::unlink(directory->socket_path().c_str());
  return directory;
}

DataDirectory::~DataDirectory() {
  ::unlink(file("run/ready.json").c_str());
  ::unlink(socket_path().c_str());
  ::close(lock_);
}

Result<void> DataDirectory::write_ready(const std::map<std::string, uint16_t>& ports) {
  json::object list;
  for (const auto& [name, port] : ports) list[name] = port;
  return write_private_file(file("run/ready.json"),
                            json::serialize(json::object{{"pid", ::getpid()}, {"ports", std::move(list)}}) + "\n");
}

Result<void> DataDirectory::write_credentials(std::string_view text) {
  return write_private_file(file("root-credentials.json"), text);
}

Result<Ready> read_ready(const std::string& data_directory) {
  std::string name = data_directory + "/run/ready.json";
  auto text = read_text_file(name, 1 << 20);
  if (!text)
    return fail(Code::kNotFound,
                fmt::format("no polis runs on {}: start it with `polis up --data {}`", data_directory, data_directory));
  boost::system::error_code error;
  json::value value = json::parse(*text, error);
  const json::object* object = error ? nullptr : value.if_object();
  const json::value* pid = object ? object->if_contains("pid") : nullptr;
  const json::value* ports = object ? object->if_contains("ports") : nullptr;
  if (!pid || !pid->is_int64() || !ports || !ports->is_object())
    return fail(Code::kCorrupt, name + " is not what polis writes there: restart polis");
  Ready ready{.pid = static_cast<int>(pid->get_int64()), .ports = {}};
  for (const auto& member : ports->get_object())
    if (member.value().is_int64()) ready.ports[member.key()] = static_cast<uint16_t>(member.value().get_int64());
  if (::kill(ready.pid, 0) != 0 && errno == ESRCH)
    return fail(
        Code::kNotFound,
        fmt::format("the polis of {} (process {}) has ended without saying so: start it with `polis up --data {}`",
                    data_directory, ready.pid, data_directory));
  return ready;
}

Result<std::string> read_text_file(const std::string& path, size_t size_bytes_max) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.number < 0) return fail(system_error(errno, "open " + path));
  std::string content;
  char block[16384];
  for (;;) {
    ssize_t size = ::read(file.number, block, sizeof block);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return fail(system_error(errno, "read " + path));
    if (size == 0) return content;
    content.append(block, static_cast<size_t>(size));
    if (content.size() > size_bytes_max)
      return fail(Code::kTooLarge, fmt::format("{} is larger than {} bytes", path, size_bytes_max));
  }
}

Result<void> write_private_file(const std::string& path, std::string_view content) {
  std::string temporary = path + ".new";
  {
    Descriptor file{::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    if (file.number < 0) return fail(system_error(errno, "make " + temporary));
    // A file that was there keeps its mode: set it whatever it was.
    if (::fchmod(file.number, 0600) != 0) return fail(system_error(errno, "set the mode of " + temporary));
    TRY(write_all(file.number, content, temporary));
    if (::fsync(file.number) != 0) return fail(system_error(errno, "sync " + temporary));
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return fail(system_error(errno, "rename " + temporary));
  Descriptor folder{::open(std::filesystem::path(path).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (folder.number >= 0 && ::fsync(folder.number) != 0) return fail(system_error(errno, "sync the folder of " + path));
  return {};
}

}  // namespace polis::app
