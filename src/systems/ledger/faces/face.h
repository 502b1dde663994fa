// Face: the books over JSON, below /ledger/v1 on the main port and, the same, below /api/ledger/v1. README.md lists
// every path. Who asks was proved before a handler runs (app); what he may do is asked here, for each ledger that a
// request touches: ledger:Post, ledger:Read, ledger:Export and ledger:Manage on arn:polis:ledger:::ledger/<id>.
//
// Made, started and stopped on one shard; handlers run on every shard.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/http/request.h"
#include "kernel/http/response.h"
#include "kernel/http/router.h"
#include "systems/ledger/faces/books.h"
#include "systems/ledger/faces/json_writer.h"
#include "systems/ledger/faces/name_book.h"
#include "systems/ledger/formats/proof_bundle.h"
#include "systems/ledger/ledger.h"

namespace polis::ledger {

// All of it outlives the Face.
struct FaceParts {
  Ledger& ledger;
  store::Store& store;
  store::Keyspace rows;  // "ledger"; all its keys are the face's (records.h)
  const Clock& clock;
};

// Requests in flight over all connections; beyond it clients are told to come again (429).
inline constexpr int kRequestsMax = 1024;
// Streams of events at a time: each wakes its shard for every command.
inline constexpr int kEventStreamsMax = 64;
// A transaction of 8,189 postings with names of usual length has 1.2 MiB of JSON.
inline constexpr uint64_t kTransactionBytesMax = uint64_t{4} << 20;
// An import is read as it arrives and takes no memory for its length; 300 million rows.
inline constexpr uint64_t kImportBytesMax = uint64_t{64} << 30;

class Face {
 public:
  explicit Face(FaceParts parts);
  ~Face();

  // After the ledger is up: finishes what a crash left without an outcome.
  Task<Result<void>> start();
  // During start of the system.
  void mount(http::Router& router);
  // Before the ledger closes, when no handler runs any more.
  Task<void> stop();
  // For the console.
  NameBook& names() { return *names_; }
  Books& books() { return books_; }

 private:
  // What a handler answers; an error becomes application/problem+json.
  struct Answer {
    int status = 200;
    std::string body;
    std::string content_type = "application/json";
    std::vector<std::pair<std::string, std::string>> fields;
  };
  using Answering = Task<Result<Answer>>;
  using Handler = Answering (Face::*)(http::Request& request);
  using Streaming = Task<Result<void>> (Face::*)(http::Request& request, http::Response& response);

  void route(http::Router& router, http::Method method, std::string_view path, Handler handler,
             http::RouteOptions options = {});
  void route_stream(http::Router& router, std::string_view path, Streaming handler);
  Task<void> answer(http::Request& request, http::Response& response, Handler handler);
  Task<void> stream(http::Request& request, http::Response& response, Streaming handler);
  static Answer problem(int status, std::string_view code, std::string_view detail);
  static Answer problem(const Error& error);
  static Task<void> send(http::Response& response, const Answer& answer);

  // --- face_accounts.cc
  Answering make_ledger(http::Request& request);
  Answering list_ledgers(http::Request& request);
  Answering make_account(http::Request& request);
  Answering list_accounts(http::Request& request);
  Answering show_account(http::Request& request);
  Answering show_metadata(http::Request& request);
  Answering change_metadata(http::Request& request);
  Answering account_transfers(http::Request& request);
  Answering account_balances(http::Request& request);
  Task<Result<NamedAccount>> readable_account(const http::Request& request);
  // The account now, at a moment, or made again from history or the journal, as the query asks.
  Task<Result<NamedAccount>> recomputed(const http::Request& request, const NamedAccount& now, std::string& from);

  // --- face_transactions.cc
  Answering make_transaction(http::Request& request);
  Answering list_transactions(http::Request& request);
  Answering show_transaction(http::Request& request);
  Answering post_transaction(http::Request& request);
  Answering void_transaction(http::Request& request);
  Answering reverse_transaction(http::Request& request);
  Answering end_transaction(http::Request& request, TransactionKind kind);
  Answering book(http::Request& request, Prepared prepared);
  Task<Result<Page<Transfer>>> find_transfers(TransferQuery query, size_t limit);
  Answering list_transfers(http::Request& request);
  Answering show_transfer(http::Request& request);
  Task<Result<void>> write_transfers(JsonWriter& out, const std::vector<Transfer>& transfers);
  Task<Result<std::string>> transaction_json(TransactionRecord record, size_t transfers_max);
  Task<Result<std::string>> transfers_json(std::vector<Transfer> transfers, std::string next);

  // --- face_chain.cc
  Answering trial_balance(http::Request& request);
  Answering chain_head(http::Request& request);
  Answering chain_key(http::Request& request);
  Answering chain_proof(http::Request& request);
  Answering chain_consistency(http::Request& request);
  Answering start_verify(http::Request& request);
  Answering show_verify(http::Request& request);
  Answering statistics(http::Request& request);
  Task<Result<formats::SignedProof>> signed_proof(InclusionProof inclusion);
  Task<void> run_verify();
  std::string verify_json() const;

  // --- face_events.cc
  Task<Result<void>> events(http::Request& request, http::Response& response);
  Task<Result<void>> send_events(http::Response& response, uint32_t ledger, uint64_t after, io::Event& committed,
                                 bool head_only);

  // --- face_exports.cc
  class Lookups;
  Task<Result<void>> export_books(http::Request& request, http::Response& response);
  Task<Result<void>> export_accounts(http::Response& response, uint32_t ledger);
  Task<Result<void>> statement(http::Request& request, http::Response& response);

  // --- face_import.cc
  class Import;
  Answering import_books(http::Request& request);

  // "2026-11-22T10:00:00Z", nanoseconds since 1970, or "op:123": a command's moment.
  Task<Result<uint64_t>> moment(std::string text);

  struct Verify {
    bool running = false;
    std::atomic<uint64_t> done{0}, total{0};  // told from the ledger's shard
    WallTime begun_at{};
    Ledger::Verified result;  // of the last one that held
    std::string error;        // of the last one that did not
  };

  FaceParts parts_;
  Books books_;
  std::unique_ptr<NameBook> names_;
  io::Shard& home_;
  Verify verify_;  // on the home shard
  io::TaskGroup jobs_;
  std::atomic<int> requests_{0}, event_streams_{0};
};

// Names of accounts and ledgers out of the Store.
std::unique_ptr<NameBook> make_name_book(store::Store& store, store::Keyspace rows, Books& books);

// kUnauthenticated or kDenied unless who asks may do `action` on the ledger; 0: on all of them.
Result<void> may(const http::Request& request, std::string_view action, uint32_t ledger);
Result<void> may(const http::Request& request, std::string_view action, const std::vector<uint32_t>& ledgers);

}  // namespace polis::ledger
