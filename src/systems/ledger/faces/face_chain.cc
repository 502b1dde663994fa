#include <fmt/format.h>

#include "kernel/base/time_format.h"
#include "systems/api.h"
#include "systems/ledger/faces/answers.h"
#include "systems/ledger/faces/console_request.h"
#include "systems/ledger/faces/face.h"

namespace polis::ledger {
namespace {

// Links of one answer: 300 bytes each.
constexpr uint64_t kLinksMax = 1000;
constexpr int kHeadTriesMax = 30;

}  // namespace

Face::Answering Face::trial_balance(http::Request& request) {
  const auto ledger = static_cast<uint32_t>(CO_TRY(number_parameter(request, "ledger", 0, 0, UINT32_MAX)));
  CO_TRY(may(request, "ledger:Read", ledger));
  auto totals = CO_TRY(co_await parts_.ledger.query([](const Engine& engine) { return engine.trial_balance(); }));
  if (ledger != 0) std::erase_if(totals, [ledger](const Engine::Totals& total) { return total.ledger != ledger; });
  co_return Answer{.body = trial_balance_json(totals, CO_TRY(co_await books_.ledgers())), .fields = {}};
}

// --- the chain. Heads and roots tell nothing about what is in the books; records do.

Face::Answering Face::chain_head(http::Request& request) {
  CO_TRY(may(request, "ledger:Read", 0u));
  co_return Answer{.body = to_json(CO_TRY(co_await parts_.ledger.signed_head())), .fields = {}};
}

Face::Answering Face::chain_key(http::Request& request) {
  CO_TRY(may(request, "ledger:Read", 0u));
  co_return Answer{.body = parts_.ledger.public_key_pem(), .content_type = "application/x-pem-file", .fields = {}};
}

Face::Answering Face::chain_proof(http::Request& request) {
  const std::string text = CO_TRY(text_parameter(request, "transfer", 40));
  const auto id = parse_id(text);
  if (!id) co_return fail(Code::kInvalid, "\"transfer\" must be the id of a transfer");
  auto transfer = CO_TRY(co_await parts_.ledger.query([id](const Engine& engine) { return engine.transfer(*id); }));
  if (!transfer) co_return fail(Code::kNotFound, "there is no transfer " + text);
  CO_TRY(may(request, "ledger:Read", transfer->ledger));
  auto proof = CO_TRY(co_await parts_.ledger.query([id](const Engine& engine) { return engine.prove(*id); }));
  if (!proof) co_return fail(std::move(proof).error());
  co_return Answer{.body = formats::to_json(CO_TRY(co_await signed_proof(std::move(*proof)))), .fields = {}};
}

// With the links from the transfer's command to a head that is signed.
Task<Result<formats::SignedProof>> Face::signed_proof(InclusionProof inclusion) {
  formats::SignedProof proof{.inclusion = std::move(inclusion), .links = {}, .head = {}, .public_key_pem = {}};
  const uint64_t from = proof.inclusion.link.op;
  // A head is signed within a second of its command.
  for (int tries = 0;; ++tries) {
    proof.head = CO_TRY(co_await parts_.ledger.signed_head());
    if (proof.head.op >= from) break;
    if (tries == kHeadTriesMax) co_return fail(Code::kUnavailable, "no head behind this transfer is signed yet");
    CO_TRY(co_await io::sleep_for(std::chrono::milliseconds(100)));
  }
  const uint64_t to = proof.head.op;
  if (to - from >= formats::kProofLinksMax)
    co_return fail(Code::kTooLarge, fmt::format("{} commands lie between the transfer and the signed head; a proof has "
                                                "at most {}: join it with /chain/consistency yourself",
                                                to - from, formats::kProofLinksMax));
  for (uint64_t op = from; op <= to;) {
    const uint64_t end = std::min(to, op + kLinksMax - 1);
    auto links = CO_TRY(co_await parts_.ledger.query([op, end](const Engine& engine) -> Result<std::vector<BatchLink>> {
      std::vector<BatchLink> found;
      for (uint64_t each = op; each <= end; ++each) found.push_back(TRY(engine.link(each)));
      return found;
    }));
    if (!links) co_return fail(std::move(links).error());
    proof.links.insert(proof.links.end(), links->begin(), links->end());
    op = end + 1;
  }
  proof.public_key_pem = parts_.ledger.public_key_pem();
  co_return proof;
}

// The links behind op `from` up to op `to`: from the head after `from` they lead to the head after `to`, which a reader
// computes himself. So two signed heads are one history, and nothing between them was changed.
Face::Answering Face::chain_consistency(http::Request& request) {
  CO_TRY(may(request, "ledger:Read", 0u));
  const uint64_t ops = CO_TRY(co_await parts_.ledger.query([](const Engine& engine) { return engine.counts().ops; }));
  const uint64_t from = CO_TRY(number_parameter(request, "from", 0, 0, ops));
  const uint64_t to = CO_TRY(number_parameter(request, "to", ops, from, ops));
  const uint64_t end = std::min(to, from + kLinksMax);
  auto links = CO_TRY(co_await parts_.ledger.query([from, end](const Engine& engine) -> Result<std::vector<BatchLink>> {
    std::vector<BatchLink> found;
    for (uint64_t op = from + 1; op <= end; ++op) found.push_back(TRY(engine.link(op)));
    return found;
  }));
  if (!links) co_return fail(std::move(links).error());
  JsonWriter out;
  out.begin_object().count("from", from).count("to", end).key("links").begin_array();
  for (const BatchLink& link : *links) write(out, link);
  out.end_array();
  if (end < to) out.count("next_from", end);
  co_return Answer{.body = out.end_object().take(), .fields = {}};
}

// --- verify: one at a time, on the home shard

std::string Face::verify_json() const {
  JsonWriter out;
  out.begin_object().flag("running", verify_.running);
  out.count("done", verify_.done.load()).count("total", verify_.total.load());
  if (verify_.begun_at != WallTime{}) out.member("begun_at", base::format_rfc3339(verify_.begun_at));
  if (!verify_.error.empty()) out.flag("held", false).member("error", verify_.error);
  if (!verify_.running && verify_.error.empty() && verify_.result.seconds > 0) {
    const Ledger::Verified& result = verify_.result;
    out.flag("held", true).count("ops", result.ops).count("events", result.events);
    out.count("accounts", result.accounts).count("transfers", result.transfers);
    out.member("head", hex(result.head)).key("seconds").real(result.seconds);
    out.key("events_per_second").real(static_cast<double>(result.events) / result.seconds);
  }
  return out.end_object().take();
}

Task<void> Face::run_verify() {
  auto verified = co_await parts_.ledger.verify([this](uint64_t done, uint64_t total) {
    verify_.done = done;
    verify_.total = total;
  });
  if (verified) {
    verify_.result = *verified;
    verify_.result.seconds = std::max(verified->seconds, 1e-9);
    verify_.done = verify_.total = verified->ops;
  } else {
    verify_.error = verified.error().text();
  }
  verify_.running = false;
}

Face::Answering Face::start_verify(http::Request& request) {
  CO_TRY(may(request, "ledger:Manage", 0u));
  auto at_home = [this]() -> Task<Result<std::string>> {
    if (verify_.running) co_return fail(Code::kBusy, "a verification is under way: GET /verify shows how far it is");
    verify_.running = true;
    verify_.done = verify_.total = 0;
    verify_.error.clear();
    verify_.result = {};
    verify_.begun_at = parts_.clock.wall();
    jobs_.spawn(run_verify());
    co_return verify_json();
  };
  co_return Answer{
      .status = 202, .body = CO_TRY(co_await io::on(home_, at_home)), .fields = {{"Location", "/ledger/v1/verify"}}};
}

Face::Answering Face::show_verify(http::Request& request) {
  CO_TRY(may(request, "ledger:Read", 0u));
  auto at_home = [this]() -> Task<Result<std::string>> { co_return verify_json(); };
  co_return Answer{.body = CO_TRY(co_await io::on(home_, at_home)), .fields = {}};
}

Face::Answering Face::statistics(http::Request& request) {
  CO_TRY(may(request, "ledger:Read", 0u));
  co_return Answer{.body = to_json(co_await parts_.ledger.statistics()), .fields = {}};
}

}  // namespace polis::ledger
