#include "app/restore_command.h"

#include <filesystem>
#include <fmt/format.h>

#include "app/backup/restore.h"
#include "app/cli/commands.h"
#include "app/files/data_directory.h"

namespace polis::app {
namespace {

Result<RestoreReport> restore(const ParsedCommand& parsed, Terminal& terminal, std::string& target) {
  auto data = parsed.flags.find(std::string(kDataFlag));
  target = TRY(choose_data_directory(data == parsed.flags.end() ? "" : data->second));
  std::string passphrase;
  if (parsed.flags.contains("with-keys")) passphrase = TRY(line_of_input("passphrase"));
  std::string backup = std::filesystem::absolute(parsed.arguments[0]).lexically_normal().string();
  return restore_backup(backup, target, passphrase, [&](uint64_t done, uint64_t total) {
    terminal.progress("restore", done, std::max<uint64_t>(1, total));
  });
}

}  // namespace

systems::Command restore_command() {
  return {.name = "restore",
          .help = "Puts a backup into a fresh data directory",
          .arguments = {{.name = "directory", .help = "the backup"}},
          .flags = {{.name = "with-keys", .help = "the keys too: their passphrase is read from standard input"}}};
}

int run_restore(const ParsedCommand& parsed, Terminal& terminal) {
  std::string target;
  Result<RestoreReport> report = restore(parsed, terminal, target);
  if (!report) {
    terminal.error(report.error());
    return 1;
  }
  if (terminal.json())
    terminal.document(fmt::format(R"({{"files":{},"size_bytes":{},"with_keys":{}}})", report->files, report->size_bytes,
                                  report->with_keys));
  terminal.line(fmt::format("{} files, {}, into {}. Start it with `polis up --data {}`.", report->files,
                            readable_size(report->size_bytes), target, target));
  if (!report->remark.empty()) terminal.remark(report->remark);
  return 0;
}

}  // namespace polis::app
