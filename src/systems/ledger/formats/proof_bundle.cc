#include "systems/ledger/formats/proof_bundle.h"

#include <algorithm>
#include <fmt/format.h>

#include "kernel/base/text_encoding.h"
#include "systems/ledger/formats/json_text.h"
#include "systems/ledger/formats/text.h"
#include "systems/ledger/head_key.h"

namespace polis::ledger::formats {
namespace {

void append_hash(const Hash& hash, std::string& out) {
  out += '"';
  out += base::hex_encode(hash);
  out += '"';
}
void append_field(std::string_view key, u128 value, std::string& out) {
  out.append(",\"").append(key) += "\":";
  append_json_number(value, out);
}

// The record in words; the bytes are what counts.
void append_record(const InclusionProof& proof, std::string& out) {
  const BytesView bytes(proof.record);
  if (proof.link.operation == static_cast<uint8_t>(Operation::kCreateAccounts)) {
    const auto account = record_at<Account>(bytes, 0);
    out += ",\n\"account\":{\"id\":";
    append_json_number(account.id, out);
    append_field("ledger", account.ledger, out);
    append_field("code", account.code, out);
    append_field("flags", account.flags, out);
    append_field("timestamp", account.timestamp, out);
  } else {
    const auto transfer = record_at<Transfer>(bytes, 0);
    out += ",\n\"transfer\":{\"id\":";
    append_json_number(transfer.id, out);
    append_field("debit_account_id", transfer.debit_account_id, out);
    append_field("credit_account_id", transfer.credit_account_id, out);
    append_field("amount", transfer.amount, out);
    append_field("pending_id", transfer.pending_id, out);
    append_field("ledger", transfer.ledger, out);
    append_field("code", transfer.code, out);
    append_field("flags", transfer.flags, out);
    append_field("timestamp", transfer.timestamp, out);
  }
  out += '}';
}

}  // namespace

Result<void> check(const SignedProof& proof) {
  if (proof.links.empty() || proof.links.size() > kProofLinksMax)
    return fail(Code::kInvalid,
                fmt::format("a proof has 1 to {} links, this one {}", kProofLinksMax, proof.links.size()));
  TRY(ledger::check(proof.inclusion));
  if (proof.links.front().head_after() != proof.inclusion.link.head_after())
    return fail(Code::kCorrupt, "the first link is not that of the proven record's command");
  for (size_t i = 1; i < proof.links.size(); ++i) {
    const BatchLink &link = proof.links[i], &before = proof.links[i - 1];
    if (link.op != before.op + 1 || link.timestamp <= before.timestamp)
      return fail(Code::kCorrupt, fmt::format("link {} does not follow link {}", link.op, before.op));
    if (link.head.previous != before.head_after())
      return fail(Code::kCorrupt, fmt::format("link {} does not continue the head of link {}", link.op, before.op));
  }
  const BatchLink& last = proof.links.back();
  if (last.op != proof.head.op || last.timestamp != proof.head.timestamp)
    return fail(Code::kCorrupt,
                fmt::format("the last link is of command {}, the signed head of {}", last.op, proof.head.op));
  if (last.head_after() != proof.head.head)
    return fail(Code::kCorrupt, fmt::format("the links do not lead to the signed head of command {}", proof.head.op));
  return verify(proof.head, proof.public_key_pem);
}

std::string to_json(const SignedProof& proof) {
  std::string out = "{\"format\":\"polis ledger proof 1\"";
  append_record(proof.inclusion, out);
  out += ",\n\"record\":\"";
  out += base::hex_encode(proof.inclusion.record);
  out += "\",\"status\":";
  append_number(out, proof.inclusion.status);
  out += ",\"leaf\":";
  append_hash(leaf_hash(proof.inclusion.record.data(), proof.inclusion.status), out);
  out += ",\"index\":";
  append_number(out, proof.inclusion.index);
  out += ",\n\"path\":[";
  for (size_t i = 0; i < proof.inclusion.path.size(); ++i) {
    if (i > 0) out += ',';
    append_hash(proof.inclusion.path[i], out);
  }
  out += "],\n\"previous\":";
  append_hash(proof.inclusion.link.head.previous, out);
  out += ",\"links\":[";
  for (size_t i = 0; i < proof.links.size(); ++i) {
    const BatchLink& link = proof.links[i];
    out += i > 0 ? ",\n{\"op\":" : "\n{\"op\":";
    append_json_number(link.op, out);
    append_field("timestamp", link.timestamp, out);
    out += fmt::format(",\"operation\":{},\"count\":{},\"root\":", link.operation, link.count);
    append_hash(link.head.root, out);
    out += '}';
  }
  out += "],\n\"head\":{\"text\":";
  append_json_string(proof.head.to_text(), out);
  out += ",\"signature\":\"";
  out += base::base64_encode(proof.head.signature);
  out += "\"},\n\"public_key\":";
  append_json_string(proof.public_key_pem, out);
  out += "}\n";
  return out;
}

}  // namespace polis::ledger::formats
