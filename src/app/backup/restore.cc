#include "app/backup/restore.h"

#include <boost/json.hpp>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <vector>

#include "app/backup/backup.h"
#include "app/backup/sealed_keys.h"
#include "app/files/data_directory.h"
#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"

namespace polis::app {
namespace {

namespace json = boost::json;
namespace files = std::filesystem;

struct Listed {
  std::string digest;  // hex
  std::string name;
};

Result<json::object> read_manifest(const std::string& backup) {
  auto text = read_text_file(backup + "/manifest.json", 1 << 20);
  if (!text) return fail(Code::kNotFound, fmt::format("{} is no finished backup: manifest.json is not there", backup));
  boost::system::error_code error;
  json::value value = json::parse(*text, error);
  if (error || !value.is_object()) return fail(Code::kCorrupt, backup + "/manifest.json is damaged");
  const json::value* format = value.get_object().if_contains("format");
  if (!format || *format != json::value(kBackupFormat))
    return fail(Code::kUnsupported,
                fmt::format("{} was made by another version of polis: this one reads \"{}\"", backup, kBackupFormat));
  return std::move(value.get_object());
}

// Names lead nowhere outside of the backup.
// No part of the path is "..": a name may well have two dots in it.
bool harmless(std::string_view name) {
  return !name.empty() && name[0] != '/' && name.find('\0') == std::string_view::npos &&
         fmt::format("/{}/", name).find("/../") == std::string::npos;
}

Result<std::vector<Listed>> read_sums(const std::string& backup, const json::object& manifest) {
  std::string text = TRY(read_text_file(backup + "/SHA256SUMS", size_t{1} << 30));
  const json::value* expected = manifest.if_contains("sums");
  if (!expected || *expected != json::value(base::hex_encode(base::sha256(text))))
    return fail(Code::kCorrupt, backup + "/SHA256SUMS is not the one that the manifest names");
  std::vector<Listed> list;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = text.find('\n', begin);
    if (end == std::string::npos || end - begin < 67) return fail(Code::kCorrupt, backup + "/SHA256SUMS is damaged");
    Listed entry{.digest = text.substr(begin, 64), .name = text.substr(begin + 66, end - begin - 66)};
    if (!harmless(entry.name)) return fail(Code::kCorrupt, backup + "/SHA256SUMS names a file outside of the backup");
    list.push_back(std::move(entry));
    begin = end + 1;
  }
  return list;
}

Result<void> copy_checked(const std::string& from, const std::string& to, const Listed& entry, uint64_t& done,
                          uint64_t total, const CopyProgress& progress) {
  std::error_code error;
  files::create_directories(files::path(to).parent_path(), error);
  std::ifstream in(from, std::ios::binary);
  std::ofstream out(to, std::ios::binary);
  if (!in || !out) return fail(Code::kIo, fmt::format("{} cannot be copied to {}", from, to));
  base::Sha256 hasher;
  std::vector<char> block(size_t{1} << 20);
  while (in) {
    in.read(block.data(), static_cast<std::streamsize>(block.size()));
    auto size = static_cast<size_t>(in.gcount());
    hasher.update(std::string_view(block.data(), size));
    if (!out.write(block.data(), static_cast<std::streamsize>(size)))
      return fail(Code::kNoSpace, fmt::format("{} cannot be written: is the disk full?", to));
    done += size;
    if (progress) progress(done, total);
  }
  out.close();
  if (!out) return fail(Code::kNoSpace, fmt::format("{} cannot be written: is the disk full?", to));
  if (base::hex_encode(hasher.finish()) != entry.digest)
    return fail(Code::kCorrupt, fmt::format("{} is damaged: its SHA-256 is another; use another backup", from));
  return {};
}

Result<void> write_keys(const std::string& backup, const std::string& target, std::string_view passphrase) {
  std::string sealed = TRY(read_text_file(backup + "/keys.sealed", size_t{16} << 20));
  KeyFiles keys = TRY(unseal_keys(sealed, passphrase));
  std::error_code error;
  files::create_directories(target + "/keys", error);
  files::permissions(target + "/keys", files::perms::owner_all, error);
  for (const auto& [name, content] : keys) TRY(write_private_file(target + "/keys/" + name, content));
  return {};
}

// Drives of their own stay where they are: the copy lies in DIR/blob, and the file that names them is set aside.
std::string set_aside_drives(const std::string& target) {
  std::string path = target + "/polis.toml";
  auto text = read_text_file(path, 1 << 20);
  if (!text || text->find("drives") == std::string::npos) return {};
  std::error_code error;
  files::rename(path, path + ".from-backup", error);
  return fmt::format(
      "The configuration names drives of its own; the copy lies in {0}/blob. Look at {1}.from-backup, name the new "
      "drives or leave "
      "blob.drives out, and save it as {1}. ",
      target, path);
}

Result<RestoreReport> restore_into(const std::string& backup, const std::string& target, std::string_view passphrase,
                                   const CopyProgress& progress) {
  json::object manifest = TRY(read_manifest(backup));
  std::vector<Listed> list = TRY(read_sums(backup, manifest));
  RestoreReport report;
  uint64_t total = 0;
  if (const json::value* size = manifest.if_contains("size_bytes"); size && size->is_int64())
    total = static_cast<uint64_t>(size->get_int64());
  bool sealed = false;
  for (const Listed& entry : list) {
    if (entry.name == "keys.sealed") {
      sealed = true;
      continue;
    }
    TRY(copy_checked(backup + "/" + entry.name, target + "/" + entry.name, entry, report.size_bytes, total, progress));
    ++report.files;
  }
  if (!sealed && !passphrase.empty())
    return fail(Code::kNotFound, backup + " was made without the keys: restore it without --with-keys");
  if (sealed && !passphrase.empty()) {
    TRY(write_keys(backup, target, passphrase));
    report.with_keys = true;
  }
  report.remark = set_aside_drives(target);
  if (!report.with_keys) {
    TRY(write_private_file(target + "/" + std::string(kKeysNotRestored), "The next start makes a new node key.\n"));
    report.remark += fmt::format("The keys were not restored{}: sign in with a password and make new access keys.",
                                 sealed ? " (the backup has them: restore again with their passphrase)" : "");
  }
  TRY(write_private_file(target + "/format", fmt::format("polis {}\n", kLayoutVersion)));
  return report;
}

}  // namespace

Result<RestoreReport> restore_backup(const std::string& backup, const std::string& data_directory,
                                     std::string_view passphrase, const CopyProgress& progress) {
  std::error_code error;
  bool existed = files::exists(data_directory, error);
  if (existed && !files::is_empty(data_directory, error))
    return fail(
        Code::kExists,
        fmt::format("{} is not empty: a restore never overwrites; name a fresh directory with --data", data_directory));
  files::create_directories(data_directory, error);
  if (error) return fail(system_error(error.value(), "make " + data_directory));
  files::permissions(data_directory, files::perms::owner_all, error);
  auto report = restore_into(backup, data_directory, passphrase, progress);
  if (report) return report;
  // Half a data directory would look like one.
  for (const auto& entry : files::directory_iterator(data_directory, error)) files::remove_all(entry.path(), error);
  if (!existed) files::remove(data_directory, error);
  return report;
}

}  // namespace polis::app
