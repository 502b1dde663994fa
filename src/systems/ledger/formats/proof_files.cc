// A proof as a folder for openssl. Nothing that a client chose goes into the script: only numbers of ours and file
// names.
#include <fmt/format.h>

#include "kernel/base/endian.h"
#include "systems/ledger/formats/proof_bundle.h"
#include "systems/ledger/formats/text.h"

namespace polis::ledger::formats {
namespace {

constexpr size_t kLinkBytes = 1 + 32 + 8 + 8 + 1 + 4 + 32;
constexpr size_t kPreviousAt = 1;
constexpr size_t kRootAt = kLinkBytes - 32;

// The messages of chain.h, byte by byte.
std::string leaf_message(const InclusionProof& proof) {
  std::string message(1 + 128 + 4, '\0');
  std::memcpy(message.data() + 1, proof.record.data(), 128);
  base::store_little(message.data() + 129, proof.status);
  return message;
}

std::string node_message(const Hash& left, const Hash& right) {
  return std::string("\x01").append(as_text(left)).append(as_text(right));
}

std::string link_message(const BatchLink& link) {
  std::string message(kLinkBytes, '\0');
  message[0] = '\x02';
  std::memcpy(message.data() + kPreviousAt, link.head.previous.data(), 32);
  base::store_little(message.data() + 33, link.op);
  base::store_little(message.data() + 41, link.timestamp);
  message[49] = static_cast<char>(link.operation);
  base::store_little(message.data() + 50, link.count);
  std::memcpy(message.data() + kRootAt, link.head.root.data(), 32);
  return message;
}

// One node of the path, and on which side of it the digest from below stands.
struct Step {
  std::string name, message;
  size_t digest_at = 0;
};

std::vector<Step> path_steps(const InclusionProof& proof) {
  std::vector<Step> steps;
  Hash hash = leaf_hash(proof.record.data(), proof.status);
  uint32_t index = proof.index, count = proof.link.count;
  for (size_t used = 0; used < proof.path.size() && count > 1; index /= 2, count = count / 2 + count % 2) {
    if ((index ^ 1) >= count) continue;
    const Hash& sibling = proof.path[used];
    const bool right = index % 2 == 1;
    steps.push_back({.name = fmt::format("node-{:02}.bin", used++),
                     .message = right ? node_message(sibling, hash) : node_message(hash, sibling),
                     .digest_at = right ? size_t{33} : size_t{1}});
    hash = right ? node_hash(sibling, hash) : node_hash(hash, sibling);
  }
  return steps;
}

std::string check_script(const std::vector<Step>& steps, size_t links) {
  std::string script = R"sh(#!/bin/sh
# Checks this proof with openssl: each file holds the SHA-256 of the one before, the last digest is the signed head.
set -eu
cd "$(dirname "$0")"
fail() {
  echo "FAILED: $1" >&2
  exit 1
}
# hash_of FILE OFFSET LENGTH, bytes_of FILE OFFSET LENGTH: in hex
hash_of() { tail -c "+$(($2 + 1))" "$1" | head -c "$3" | openssl dgst -sha256 -r | cut -c1-64; }
bytes_of() { tail -c "+$(($2 + 1))" "$1" | head -c "$3" | od -An -v -tx1 | tr -d ' \n'; }
# step FILE OFFSET LENGTH AT: the digest so far stands AT bytes behind OFFSET; the next one is of LENGTH bytes
step() {
  [ "$(bytes_of "$1" "$(($2 + $4))" 32)" = "$digest" ] || fail "$1 does not hold the digest of the step before"
  digest=$(hash_of "$1" "$2" "$3")
}

openssl pkeyutl -verify -pubin -inkey ledger.pub.pem -rawin -in head.txt -sigfile head.sig >/dev/null ||
  fail "head.sig is not the signature of head.txt by ledger.pub.pem"
[ "$(bytes_of leaf.bin 0 1)" = 00 ] || fail "leaf.bin is not a leaf"
[ "$(wc -c <leaf.bin)" -eq 133 ] || fail "leaf.bin does not have 133 bytes"
digest=$(hash_of leaf.bin 0 133)
)sh";
  for (const Step& step : steps) script += fmt::format("step {} 0 65 {}\n", step.name, step.digest_at);
  script += fmt::format(R"sh(step links.bin 0 {0} {1}
i=1
while [ "$i" -lt {2} ]; do
  step links.bin "$((i * {0}))" {0} {3}
  i=$((i + 1))
done
[ "$(sed -n 's/^head //p' head.txt)" = "$digest" ] || fail "the last digest is not the head that was signed"
echo "ok: the record in leaf.bin is under the signed head $digest"
)sh",
                        kLinkBytes, kRootAt, links, kPreviousAt);
  return script;
}

std::string read_me(const SignedProof& proof, const std::vector<Step>& steps) {
  const auto transfer = record_at<Transfer>(BytesView(proof.inclusion.record), 0);
  const bool account = proof.inclusion.link.operation == static_cast<uint8_t>(Operation::kCreateAccounts);
  std::string text = fmt::format(
      "A proof that {} {} is in the books of the ledger whose key is ledger.pub.pem.\n\n"
      "    sh check.sh\n\n"
      "does all of the following. Whether ledger.pub.pem is the ledger's key is what you have to know from "
      "elsewhere.\n\n"
      "1. The head of the chain was signed:\n\n"
      "    openssl pkeyutl -verify -pubin -inkey ledger.pub.pem -rawin -in head.txt -sigfile head.sig\n\n"
      "2. The record has its digest in the next file, and so on up to the root of its batch. Byte 0 of a leaf is 00, "
      "of a\n"
      "   node 01:\n\n"
      "    openssl dgst -sha256 leaf.bin\n",
      account ? "account" : "transfer", to_decimal(transfer.id));
  for (const Step& step : steps)
    text += fmt::format("    openssl dgst -sha256 {}      # holds the digest before at byte {}\n", step.name,
                        step.digest_at);
  text += fmt::format(
      "\n3. links.bin holds {0} links of {1} bytes, one a batch, from the record's to that of the signed head. The "
      "first has\n"
      "   the root at byte {2}, each later one the digest of the one before at byte {3}. The digest of the last is the "
      "head\n"
      "   in head.txt. Link i (from 0):\n\n"
      "    tail -c +$((i * {1} + 1)) links.bin | head -c {1} | openssl dgst -sha256\n\n",
      proof.links.size(), kLinkBytes, kRootAt, kPreviousAt);
  text +=
      "leaf.bin is 00, the record of 128 bytes, and what became of it (FF FF FF FF: booked). Numbers are little "
      "endian:\n\n";
  text += account ? "    byte   1  id (16 bytes)                113  ledger (4)\n"
                    "    byte 117  code (2)                     119  flags (2)\n"
                    "    byte 121  timestamp, ns since 1970 (8)\n"
                  : "    byte   1  id (16 bytes)                 17  debit account (16)\n"
                    "    byte  33  credit account (16)           49  amount in the smallest unit (16)\n"
                    "    byte  65  pending id (16)               81  user data (16, 8, 4)\n"
                    "    byte 109  timeout, s (4)               113  ledger (4)\n"
                    "    byte 117  code (2)                     119  flags (2)\n"
                    "    byte 121  timestamp, ns since 1970 (8)\n";
  if (!account)
    text += fmt::format(
        "\nHere: transfer {} of ledger {}: {} units, debit account {}, credit account {}, code {}, at {}.\n",
        to_decimal(transfer.id), transfer.ledger, to_decimal(transfer.amount), to_decimal(transfer.debit_account_id),
        to_decimal(transfer.credit_account_id), transfer.code, transfer.timestamp);
  return text;
}

}  // namespace

std::vector<ProofFile> proof_files(const SignedProof& proof) {
  const std::vector<Step> steps = path_steps(proof.inclusion);
  std::string links;
  links.reserve(proof.links.size() * kLinkBytes);
  for (const BatchLink& link : proof.links) links += link_message(link);
  std::vector<ProofFile> files = {
      {.name = "README.txt", .content = read_me(proof, steps)},
      {.name = "check.sh", .content = check_script(steps, proof.links.size()), .executable = true},
      {.name = "head.txt", .content = proof.head.to_text()},
      {.name = "head.sig", .content = std::string(as_text(proof.head.signature))},
      {.name = "ledger.pub.pem", .content = proof.public_key_pem},
      {.name = "leaf.bin", .content = leaf_message(proof.inclusion)},
      {.name = "links.bin", .content = std::move(links)},
      {.name = "proof.json", .content = to_json(proof)}};
  for (const Step& step : steps) files.push_back({.name = step.name, .content = step.message});
  return files;
}

}  // namespace polis::ledger::formats
