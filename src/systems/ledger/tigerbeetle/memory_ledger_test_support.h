// A Ledger without a disk, for tests of the protocol: the real engine in memory, and faults on demand.
#pragma once

#include <algorithm>

#include "kernel/io/shard.h"
#include "systems/ledger/ledger.h"

namespace polis::ledger::tigerbeetle {

class MemoryLedger final : public Ledger {
 public:
  explicit MemoryLedger(const Clock& clock) : clock_(clock) {}

  Engine& engine() { return engine_; }
  // The next so many submits, or questions, are answered with the code instead.
  void fail_next(size_t submits, Code code) {
    failures_ = submits;
    code_ = code;
  }
  // The next so many submits are done, and answered with kUnavailable all the same.
  void lose_next(size_t submits) { losses_ = submits; }
  // Submits wait so long, as for a disk.
  void set_delay(Duration delay) { delay_ = delay; }
  size_t submitted() const { return submitted_; }

  Task<Result<std::vector<CreateResult>>> create_accounts(std::span<const Account> events) override {
    return create(Operation::kCreateAccounts, std::as_bytes(events));
  }
  Task<Result<std::vector<CreateResult>>> create_transfers(std::span<const Transfer> events) override {
    return create(Operation::kCreateTransfers, std::as_bytes(events));
  }
  Task<Result<ledger::Reply>> submit(Command command) override {
    co_return co_await io::on(home_, [this, &command] { return submit_here(command); });
  }

  Task<Result<SignedHead>> signed_head() override { co_return unsupported(); }
  const std::string& public_key_pem() const override { return key_; }
  Task<Result<Verified>> verify(std::function<void(uint64_t, uint64_t)>) override { co_return unsupported(); }
  Task<Result<Verified>> replay(std::function<void(const Engine&)>, std::function<void(uint64_t, uint64_t)>) override {
    co_return unsupported();
  }
  Task<uint64_t> watch(std::function<void(const Committed&)>) override { co_return 0; }
  Task<void> unwatch(uint64_t) override { co_return; }
  Task<Statistics> statistics() override { co_return Statistics{.counts = engine_.counts()}; }

 private:
  static std::unexpected<Error> unsupported() { return fail(Code::kUnsupported, "not in a test"); }

  Task<Result<ledger::Reply>> submit_here(Command& command) {
    ++submitted_;
    if (delay_ > Duration::zero()) CO_TRY(co_await io::sleep_for(delay_));
    if (failures_ > 0) {
      --failures_;
      co_return fail(code_, "as the test wishes");
    }
    if (command.from.client != 0) {
      if (auto stored = engine_.stored_reply(command.from)) co_return std::move(*stored);
      const auto state = engine_.session_state(command.from);
      if (command.operation == Operation::kRegister) {
        if (state != Engine::SessionState::kUnknown) co_return fail(Code::kConflict, "the client is registered");
      } else if (state == Engine::SessionState::kUnknown) {
        co_return fail(Code::kNotFound, "no such session");
      } else if (state == Engine::SessionState::kOlder) {
        co_return fail(Code::kVersionMismatch, "an older session");
      } else if (state == Engine::SessionState::kNewer) {
        co_return fail(Code::kOutOfRange, "no such session yet");
      } else if (state == Engine::SessionState::kPast) {
        co_return fail(Code::kConflict, "an older request");
      }
    }
    const size_t events = command.events.size() / sizeof(Transfer);
    command.timestamp = engine_.next_timestamp(static_cast<uint64_t>(clock_.wall().time_since_epoch().count()), events);
    ledger::Reply reply = engine_.apply(command);
    if (losses_ > 0) {
      --losses_;
      co_return fail(Code::kUnavailable, "done, but the test wishes nobody to know");
    }
    co_return reply;
  }

  Task<Result<std::vector<CreateResult>>> create(Operation operation, BytesView events) {
    Command command;
    command.operation = operation;
    command.events = events;
    co_return CO_TRY(co_await submit(command)).results;
  }

  Task<Result<void>> run_query(std::function<void(const Engine&)> ask) override {
    auto here = [this, &ask]() -> Task<Result<void>> {
      if (failures_ > 0) {
        --failures_;
        co_return fail(code_, "as the test wishes");
      }
      ask(engine_);
      co_return {};
    };
    co_return co_await io::on(home_, here);
  }

  const Clock& clock_;
  io::Shard& home_ = io::Shard::current();
  Engine engine_;
  std::string key_;
  size_t failures_ = 0, losses_ = 0, submitted_ = 0;
  Code code_ = Code::kBusy;
  Duration delay_{};
};

}  // namespace polis::ledger::tigerbeetle
