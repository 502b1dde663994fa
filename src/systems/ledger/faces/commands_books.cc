// What leaves the books, what comes in from elsewhere, and what proves them.
#include <boost/json.hpp>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>

#include "kernel/io/shard.h"
#include "systems/ledger/faces/command_call.h"
#include "systems/ledger/faces/commands.h"
#include "systems/ledger/formats/proof_bundle.h"
#include "systems/ledger/simulation/simulation.h"

namespace polis::ledger {
namespace {

namespace json = boost::json;
using systems::Invocation;
using Done = Task<Result<void>>;

constexpr Duration kProgressPause = std::chrono::milliseconds(100);
constexpr uintmax_t kProofBytesMax = uintmax_t{64} << 20;

// Into the file that --out names, of any size; else, up to 16 MiB, to standard output as it is.
Done deliver(Invocation& call, std::string path) {
  if (std::string out = flag(call, "out"); !out.empty()) {
    CO_TRY(co_await call.api.receive_file(path, out));
    call.output.line("wrote " + out);
    co_return Result<void>();
  }
  auto answer = co_await call.api.request("GET", path);
  if (!answer && answer.error().code() == Code::kTooLarge)
    co_return fail(Code::kTooLarge, "it is longer than 16 MiB: name a file with --out");
  if (!answer) co_return fail(std::move(answer).error());
  if (answer->headers["content-type"].starts_with("application/json"))
    call.output.document(answer->body);
  else
    call.output.document(answer->body.ends_with('\n') ? answer->body.substr(0, answer->body.size() - 1) : answer->body);
  co_return Result<void>();
}

Done statement(Invocation& call) {
  std::string path = api_path({"statements"});
  add_query(path, "account", call.arguments[0]);
  add_flags(path, call, {{"format", "format"}, {"from", "from"}, {"to", "to"}, {"number", "number"}});
  co_return co_await deliver(call, std::move(path));
}

Done export_books(Invocation& call) {
  const std::string format = flag(call, "format");
  if (format == "mt940" || format == "camt053") {
    const std::string account = flag(call, "account");
    if (account.empty())
      co_return fail(Code::kInvalid, format + " is a statement of one account: name it with --account");
    std::string path = api_path({"statements"});
    add_query(path, "account", account);
    add_flags(path, call, {{"format", "format"}, {"from", "from"}, {"to", "to"}});
    co_return co_await deliver(call, std::move(path));
  }
  std::string path = api_path({"export"});
  add_flags(path, call, {{"format", "format"}, {"ledger", "ledger"}, {"from", "from"}, {"to", "to"}});
  if (call.has("accounts")) add_query(path, "what", "accounts");
  co_return co_await deliver(call, std::move(path));
}

Done import_books(Invocation& call) {
  std::string path = api_path({"import"});
  if (call.has("accounts")) add_query(path, "what", "accounts");
  auto answer = CO_TRY(co_await call.api.send_file("POST", path, call.arguments[0], "text/csv"));
  boost::system::error_code error;
  const json::value value = json::parse(answer.body, error);
  if (error || !value.is_object()) co_return fail(Code::kCorrupt, "polis answered something that is no JSON object");
  if (call.output.json()) {
    call.output.document(answer.body);
  } else {
    std::vector<std::vector<std::string>> rows;
    for (const char* name : {"rows", "created", "existed", "refused", "skipped"})
      rows.push_back({name, json::serialize(value.at(name))});
    call.output.table({"", ""}, rows);
    rows.clear();
    for (const json::value& refusal : value.at("refusals").as_array())
      rows.push_back({json::serialize(refusal.at("line")), std::string(refusal.at("status").as_string())});
    if (!rows.empty()) call.output.table({"line", "refused because"}, rows);
  }
  if (value.at("refused").to_number<uint64_t>() > 0) co_return fail(Code::kInvalid, "some rows were refused");
  co_return Result<void>();
}

// --- what proves the books

Done run_verification(Invocation& call, std::string what) {
  CO_TRY(co_await call.api.request("POST", api_path({"verify"})));
  for (;;) {
    auto answer = CO_TRY(co_await call.api.request("GET", api_path({"verify"})));
    boost::system::error_code error;
    const json::value value = json::parse(answer.body, error);
    if (error || !value.is_object()) co_return fail(Code::kCorrupt, "polis answered something that is no JSON object");
    const uint64_t done = value.at("done").to_number<uint64_t>(), total = value.at("total").to_number<uint64_t>();
    if (value.at("running").as_bool()) {
      if (total > 0) call.output.progress(what, std::min(done, total - 1), total);
      CO_TRY(co_await io::sleep_for(kProgressPause));
      continue;
    }
    call.output.progress(what, std::max<uint64_t>(1, total), std::max<uint64_t>(1, total));
    call.output.document(answer.body);
    if (const json::value* failed = value.get_object().if_contains("error"))
      co_return fail(Code::kCorrupt, std::string(failed->as_string()));
    co_return Result<void>();
  }
}

Done verify(Invocation& call) {
  return run_verification(call, "verify");
}

Done rebuild(Invocation& call) {
  CO_TRY(co_await run_verification(call, "rebuild"));
  call.output.line(
      "The journal alone makes every account, transfer and head again, byte for byte. To start from it without "
      "snapshots: stop polis, remove snapshot/ledger in its directory, start it.");
  co_return Result<void>();
}

Result<std::string> read_proof(const std::string& path) {
  std::error_code error;
  if (std::filesystem::file_size(path, error) > kProofBytesMax && !error)
    return fail(Code::kTooLarge, path + " is too large for a proof");
  std::ifstream file(path, std::ios::binary);
  if (!file.is_open()) return fail(Code::kNotFound, "cannot read " + path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

Result<void> write_files(const formats::SignedProof& proof, const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return fail(system_error(error.value(), "making " + folder.string()));
  for (const formats::ProofFile& one : formats::proof_files(proof)) {
    std::ofstream file(folder / one.name, std::ios::binary | std::ios::trunc);
    file << one.content;
    if (!file.flush()) return fail(Code::kIo, "cannot write " + (folder / one.name).string());
    file.close();
    if (one.executable)
      std::filesystem::permissions(folder / one.name, std::filesystem::perms::owner_exec,
                                   std::filesystem::perm_options::add, error);
  }
  return {};
}

Done prove(Invocation& call) {
  std::string text;
  if (std::string path = flag(call, "check"); !path.empty()) {
    text = CO_TRY(read_proof(path));
  } else {
    if (call.arguments.empty()) co_return fail(Code::kInvalid, "name a transfer, or a proof with --check");
    std::string target = api_path({"chain", "proof"});
    add_query(target, "transfer", call.arguments[0]);
    text = CO_TRY(co_await call.api.request("GET", target)).body;
  }
  const formats::SignedProof proof = CO_TRY(formats::parse_signed_proof(text));
  // Whoever answers is not trusted: here is checked what he says.
  CO_TRY(formats::check(proof));
  if (std::string out = flag(call, "out"); !out.empty()) {
    CO_TRY(write_files(proof, out));
    call.output.line(fmt::format("wrote {}; check it without polis: {}/check.sh", out, out));
  }
  if (call.output.json() && !call.has("out")) call.output.document(text);
  call.output.line(
      fmt::format("The transfer is event {} of {} of command {}, which the signed head of command {} stands for.",
                  proof.inclusion.index + 1, proof.inclusion.link.count, proof.inclusion.link.op, proof.head.op));
  co_return Result<void>();
}

Done head(Invocation& call) {
  auto answer = CO_TRY(co_await call.api.request("GET", api_path({"chain", call.has("key") ? "key" : "head"})));
  call.output.document(answer.body);
  co_return Result<void>();
}

Done statistics(Invocation& call) {
  auto answer = CO_TRY(co_await call.api.request("GET", api_path({"statistics"})));
  call.output.document(answer.body);
  co_return Result<void>();
}

Done run_simulation(Invocation& call) {
  auto seed = parse_decimal(call.arguments[0]);
  if (!seed || *seed > UINT64_MAX) co_return fail(Code::kInvalid, "a seed is a number of 0 to 2^64-1");
  SimulationOptions options;
  const bool told = !call.output.json() && !call.has("quiet");
  if (told)
    options.step = [&](uint64_t time_us, std::string_view step) {
      call.output.line(fmt::format("{:>12.3f} ms  {}", static_cast<double>(time_us) / 1000, step));
    };
  // It has a world, a clock and a shard of its own: not on this one.
  const SimulationReport report =
      co_await io::blocking([seed = static_cast<uint64_t>(*seed), &options] { return simulate(seed, options); });
  json::object out{{"seed", std::to_string(report.seed)},
                   {"held", report.failure.empty()},
                   {"starts", report.starts},
                   {"power_cuts", report.power_cuts},
                   {"failed_syncs", report.failed_syncs},
                   {"commands", report.commands},
                   {"acknowledged", report.acknowledged},
                   {"unknown", report.unknown},
                   {"created", report.created},
                   {"refused", report.refused},
                   {"expired", report.expired},
                   {"ops", report.ops},
                   {"trace_hash", fmt::format("{:016x}", report.trace_hash)}};
  if (!report.failure.empty()) out["failure"] = report.failure;
  call.output.document(json::serialize(out));
  if (!report.failure.empty()) co_return fail(Code::kCorrupt, report.failure);
  co_return Result<void>();
}

}  // namespace

std::vector<systems::Command> book_commands() {
  const systems::Flag kOut{.name = "out", .help = "into this file", .value = "FILE"};
  const systems::Flag kFrom{.name = "from", .help = "from this moment on", .value = "TIME"};
  const systems::Flag kTo{.name = "to", .help = "up to this moment", .value = "TIME"};
  return {
      {.name = "statement",
       .help = "What happened to an account in a period",
       .arguments = {{.name = "account", .help = "name or id"}},
       .flags = {{.name = "format",
                  .help = "of the statement",
                  .value = "FORMAT",
                  .value_default = "json",
                  .choices = {"json", "mt940", "camt053"}},
                 kFrom,
                 kTo,
                 {.name = "number", .help = "of the statement", .value = "N"},
                 kOut},
       .run = statement},
      {.name = "export",
       .help = "The books for accountants' programs, or as CSV",
       .flags = {{.name = "format",
                  .help = "whose journal",
                  .value = "FORMAT",
                  .value_default = "ledger",
                  .choices = {"ledger", "hledger", "beancount", "csv", "mt940", "camt053"}},
                 {.name = "ledger", .help = "only this ledger", .value = "N"},
                 {.name = "account", .help = "for mt940 and camt053", .value = "ACCOUNT"},
                 {.name = "accounts", .help = "the accounts themselves, as CSV"},
                 kFrom,
                 kTo,
                 kOut},
       .run = export_books},
      {.name = "import",
       .help = "Books transfers, or opens accounts, from CSV; the same file again books nothing twice",
       .arguments = {{.name = "file", .help = "CSV, as the export writes it"}},
       .flags = {{.name = "accounts", .help = "the file holds accounts"}},
       .run = import_books},
      {.name = "verify", .help = "Reads the whole journal again and compares everything with it", .run = verify},
      {.name = "rebuild", .help = "Makes the books again from the journal alone and compares them", .run = rebuild},
      {.name = "prove",
       .help = "Proves that a transfer is in the books, so that openssl alone can check it",
       .arguments = {{.name = "transfer", .help = "its id", .required = false}},
       .flags = {{.name = "out", .help = "write the proof into this folder", .value = "DIR"},
                 {.name = "check", .help = "check the proof in this file; needs no polis", .value = "FILE"}},
       .run = prove},
      {.name = "head",
       .help = "The signed head of the hash chain",
       .flags = {{.name = "key", .help = "the public key instead"}},
       .run = head},
      {.name = "statistics", .help = "Counts, sizes and latencies of the ledger", .run = statistics},
      {.name = "simulate",
       .help = "Replays one life of a ledger with power cuts and broken disks, from its seed",
       .arguments = {{.name = "seed", .help = "a number"}},
       .flags = {{.name = "quiet", .help = "only how it ended"}},
       .run = run_simulation},
  };
}

}  // namespace polis::ledger
