// A proof that can be checked without polis: that a transfer is in the books whose head the ledger has signed. As JSON,
// and as a folder of files with which openssl alone does it.
//
//     record ─► leaf ─► nodes of the command's tree ─► root ─► link of the command ─► ... ─► link of the signed head
//                                                                                            ▲ signature, public key
//
// The files of a folder; the bytes of a step are exactly what SHA-256 is taken of, and hold the digest of the step
// before:
//
//     head.txt, head.sig, ledger.pub.pem         the signed head, its signature, the key
//     leaf.bin, node-00.bin ...                  up to the root of the command
//     links.bin                                  from the command to the signed head, 86 bytes each
//     proof.json                                 the same for programs
//     check.sh, README.txt                       the openssl commands, to run and to read
//
// Pure functions and values.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "systems/ledger/ledger.h"

namespace polis::ledger::formats {

// Links from the proof's command to the signed head's are one of 150 bytes a command: a longer way is asked for through
// a head that was signed nearer to the transfer.
inline constexpr size_t kProofLinksMax = 100'000;

struct SignedProof {
  InclusionProof inclusion;
  std::vector<BatchLink> links;  // from inclusion.link (the first) to the command of the head (the last), without gaps
  SignedHead head;
  std::string public_key_pem;
};

// Everything: path, links, head and signature. kCorrupt with what differs; kInvalid if links are missing. That the key
// is the ledger's is for the caller to know.
Result<void> check(const SignedProof& proof);

// {"transfer":{...},"leaf":...,"path":[...],"links":[...],"head":{...}}: hashes and records in hex, numbers that may
// exceed 2^53 as strings.
std::string to_json(const SignedProof& proof);
// The proof of to_json()'s text, which may be hostile (at most 64 MiB); kInvalid names what is wrong. Not checked yet.
Result<SignedProof> parse_signed_proof(std::string_view json);

struct ProofFile {
  std::string name;
  std::string content;
  bool executable = false;
};
// check() has passed.
std::vector<ProofFile> proof_files(const SignedProof& proof);

}  // namespace polis::ledger::formats
