// Runs engine_cases.txt: books as a person reads them. The grammar is at the top of that file.
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <sstream>

#include "systems/ledger/engine.h"

namespace polis::ledger {
namespace {

std::string path_of_cases() {
  const std::string here = __FILE__;
  return here.substr(0, here.rfind('/')) + "/engine_cases.txt";
}

const std::map<std::string, uint16_t> kAccountFlags = {{"linked", 1},
                                                       {"debits_must_not_exceed_credits", 2},
                                                       {"credits_must_not_exceed_debits", 4},
                                                       {"history", 8},
                                                       {"imported", 16},
                                                       {"closed", 32},
                                                       {"unknown", 1 << 12}};
const std::map<std::string, uint16_t> kTransferFlags = {
    {"linked", 1},           {"pending", 2},           {"post", 4},           {"void", 8},
    {"balancing_debit", 16}, {"balancing_credit", 32}, {"closing_debit", 64}, {"closing_credit", 128},
    {"imported", 256},       {"unknown", 1 << 12}};

class Cases {
 public:
  void run() {
    std::ifstream file(path_of_cases());
    ASSERT_TRUE(file) << path_of_cases();
    std::string line;
    while (std::getline(file, line)) {
      ++line_;
      line = line.substr(0, line.find('#'));
      while (!line.empty() && line.back() == ' ') line.pop_back();
      ASSERT_NO_FATAL_FAILURE(take(line)) << "line " << line_;
    }
    ASSERT_NO_FATAL_FAILURE(end_batch());
    EXPECT_GT(events_checked_, 200u);
  }

 private:
  void take(const std::string& line) {
    std::istringstream words(line);
    std::string word;
    if (!(words >> word)) return end_batch();
    if (word == "account" || word == "transfer") {
      const bool account = word == "account";
      if (!expected_.empty() && account != accounts_) end_batch();
      accounts_ = account;
      return account ? add_account(words) : add_transfer(words);
    }
    end_batch();
    if (word == "new") {
      engine_ = std::make_unique<Engine>();
      time_ = kBegin;
    } else if (word == "wait") {
      double seconds = 0;
      ASSERT_TRUE(words >> seconds);
      time_ = std::max(time_, engine_->counts().timestamp_last) + static_cast<uint64_t>(seconds * 1e9);
    } else if (word == "expire") {
      engine_->apply({.operation = Operation::kExpire, .timestamp = engine_->next_timestamp(time_, kBatchEventsMax)});
    } else if (word == "balance") {
      check_balance(words);
    } else if (word == "amount") {
      u128 id = 0;
      std::string expected;
      ASSERT_TRUE(read_number(words, id) && words >> expected);
      const auto transfer = engine_->transfer(id);
      ASSERT_TRUE(transfer) << "no transfer";
      EXPECT_EQ(to_decimal(transfer->amount), expected) << "line " << line_;
    } else {
      FAIL() << "unknown word " << word;
    }
  }

  static u128 number(const std::string& text) {
    if (text == "max") return kU128Max;
    if (text.starts_with("max-")) return kU128Max - *parse_decimal(text.substr(4));
    const auto value = parse_decimal(text);
    EXPECT_TRUE(value) << text;
    return value.value_or(0);
  }
  static bool read_number(std::istringstream& words, u128& value) {
    std::string word;
    if (!(words >> word)) return false;
    value = number(word);
    return true;
  }

  // Reads "key=value" words and flags up to "->", and then the status.
  std::map<std::string, u128> read_event(std::istringstream& words, const std::map<std::string, uint16_t>& flags,
                                         uint16_t& flag_bits) {
    std::map<std::string, u128> values;
    std::string word;
    while (words >> word && word != "->") {
      if (const auto equals = word.find('='); equals != std::string::npos) {
        values[word.substr(0, equals)] = number(word.substr(equals + 1));
      } else if (const auto flag = flags.find(word); flag != flags.end()) {
        flag_bits |= flag->second;
      } else {
        ADD_FAILURE() << "line " << line_ << ": what is " << word;
      }
    }
    std::string status;
    EXPECT_TRUE(words >> status) << "line " << line_ << " expects nothing";
    expected_.emplace_back(line_, status);
    return values;
  }

  void add_account(std::istringstream& words) {
    Account a;
    a.ledger = 1;
    a.code = 1;
    auto values = read_event(words, kAccountFlags, a.flags);
    const auto take = [&](const char* key, auto& field) {
      const auto found = values.find(key);
      if (found != values.end()) field = static_cast<std::remove_reference_t<decltype(field)>>(found->second);
      if (found != values.end()) values.erase(found);
    };
    take("id", a.id);
    take("debits_pending", a.debits_pending);
    take("debits_posted", a.debits_posted);
    take("credits_pending", a.credits_pending);
    take("credits_posted", a.credits_posted);
    take("ud128", a.user_data_128);
    take("ud64", a.user_data_64);
    take("ud32", a.user_data_32);
    take("reserved", a.reserved);
    take("ledger", a.ledger);
    take("code", a.code);
    take("ts", a.timestamp);
    EXPECT_TRUE(values.empty()) << "line " << line_ << ": what is " << values.begin()->first;
    add(a);
  }

  void add_transfer(std::istringstream& words) {
    Transfer t;
    auto values = read_event(words, kTransferFlags, t.flags);
    // What most transfers have; a second phase inherits it.
    const bool second_phase = (t.flags & (transfer_flags::kPostPending | transfer_flags::kVoidPending)) != 0;
    if (!second_phase) {
      t.debit_account_id = 1;
      t.credit_account_id = 2;
      t.ledger = t.code = 1;
    }
    const auto take = [&](const char* key, auto& field) {
      const auto found = values.find(key);
      if (found != values.end()) field = static_cast<std::remove_reference_t<decltype(field)>>(found->second);
      if (found != values.end()) values.erase(found);
    };
    take("id", t.id);
    take("debit", t.debit_account_id);
    take("credit", t.credit_account_id);
    take("amount", t.amount);
    take("pending_id", t.pending_id);
    take("ud128", t.user_data_128);
    take("ud64", t.user_data_64);
    take("ud32", t.user_data_32);
    take("timeout", t.timeout);
    take("ledger", t.ledger);
    take("code", t.code);
    take("ts", t.timestamp);
    EXPECT_TRUE(values.empty()) << "line " << line_ << ": what is " << values.begin()->first;
    add(t);
  }

  template <class Event>
  void add(const Event& event) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&event);
    events_.insert(events_.end(), bytes, bytes + sizeof event);
  }

  void end_batch() {
    if (expected_.empty()) return;
    const uint64_t timestamp = engine_->next_timestamp(time_, expected_.size());
    const Reply reply =
        engine_->apply({.operation = accounts_ ? Operation::kCreateAccounts : Operation::kCreateTransfers,
                        .timestamp = timestamp,
                        .events = events_});
    ASSERT_EQ(reply.results.size(), expected_.size());
    for (size_t i = 0; i < expected_.size(); ++i) {
      const uint32_t status = reply.results[i].status;
      EXPECT_EQ(accounts_ ? status_name(static_cast<AccountStatus>(status))
                          : status_name(static_cast<TransferStatus>(status)),
                expected_[i].second)
          << "line " << expected_[i].first;
      ++events_checked_;
    }
    expected_.clear();
    events_.clear();
  }

  // balance ID debits_pending debits_posted credits_pending credits_posted [closed]
  void check_balance(std::istringstream& words) {
    u128 id = 0, sums[4] = {};
    ASSERT_TRUE(read_number(words, id));
    for (u128& sum : sums) ASSERT_TRUE(read_number(words, sum));
    std::string closed;
    words >> closed;
    const auto account = engine_->account(id);
    ASSERT_TRUE(account) << "no account";
    EXPECT_EQ(to_decimal(account->debits_pending), to_decimal(sums[0])) << "line " << line_;
    EXPECT_EQ(to_decimal(account->debits_posted), to_decimal(sums[1])) << "line " << line_;
    EXPECT_EQ(to_decimal(account->credits_pending), to_decimal(sums[2])) << "line " << line_;
    EXPECT_EQ(to_decimal(account->credits_posted), to_decimal(sums[3])) << "line " << line_;
    EXPECT_EQ((account->flags & account_flags::kClosed) != 0, closed == "closed") << "line " << line_;
  }

  // Every file of cases begins here: a second after 1970 began, so that imported timestamps are short to write.
  static constexpr uint64_t kBegin = kNanosecondsPerSecond;
  std::unique_ptr<Engine> engine_ = std::make_unique<Engine>();
  uint64_t time_ = kBegin;
  size_t line_ = 0;
  size_t events_checked_ = 0;
  bool accounts_ = false;
  Bytes events_;
  std::vector<std::pair<size_t, std::string>> expected_;
};

TEST(EngineCasesTest, every_case_ends_as_written) {
  Cases().run();
}

}  // namespace
}  // namespace polis::ledger
