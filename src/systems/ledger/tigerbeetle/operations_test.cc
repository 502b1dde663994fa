// Bodies of requests and replies, without a connection.
#include "systems/ledger/tigerbeetle/operations.h"

#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "systems/ledger/tigerbeetle/session.h"

namespace polis::ledger::tigerbeetle {
namespace {

OperationShape shape(WireOperation operation) {
  return shape_of(static_cast<uint8_t>(operation)).value();
}

template <class T>
void append(Bytes& body, const T& record) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&record);
  body.insert(body.end(), bytes, bytes + sizeof record);
}

Bytes body_of(size_t events, const OperationShape& of) {
  Bytes body(events * of.event_bytes);
  const auto count = static_cast<uint16_t>(events);
  append_trailer(body, std::span(&count, 1), of.event_bytes);
  return body;
}

Bytes filters(std::initializer_list<uint32_t> limits) {
  Bytes body;
  for (uint32_t limit : limits) {
    AccountFilter filter;
    filter.account_id = 1;
    filter.limit = limit;
    filter.flags = account_filter_flags::kDebits;
    append(body, filter);
  }
  const std::vector<uint16_t> counts(limits.size(), 1);
  append_trailer(body, counts, sizeof(AccountFilter));
  return body;
}

TEST(Operations, all_of_the_protocol_are_known_and_no_other) {
  size_t known = 0;
  for (int operation = 0; operation < 256; ++operation)
    if (shape_of(static_cast<uint8_t>(operation))) {
      ++known;
      EXPECT_TRUE(operation >= 129 && operation <= 147) << operation;
    }
  EXPECT_EQ(known, 19u);
}

TEST(Operations, a_request_holds_as_many_events_as_its_answer_has_room_for) {
  const std::pair<WireOperation, size_t> cases[] = {{WireOperation::kCreateAccounts, 8'189},
                                                    {WireOperation::kCreateTransfers, 8'189},
                                                    {WireOperation::kSparseCreateTransfers, 8'189},
                                                    {WireOperation::kLookupAccounts, 8'189},
                                                    {WireOperation::kLookupTransfers, 8'189}};
  for (const auto& [operation, most] : cases) {
    EXPECT_TRUE(decode_request(shape(operation), body_of(most, shape(operation))));
    EXPECT_FALSE(decode_request(shape(operation), body_of(most + 1, shape(operation))));
    EXPECT_TRUE(decode_request(shape(operation), body_of(0, shape(operation))));
  }
  EXPECT_TRUE(decode_request(shape(WireOperation::kUnbatchedCreateTransfers), Bytes(8'190 * 128)));
  EXPECT_TRUE(decode_request(shape(WireOperation::kUnbatchedLookupAccounts), Bytes(8'190 * 16)));
  EXPECT_FALSE(decode_request(shape(WireOperation::kUnbatchedLookupAccounts), Bytes(8'191 * 16)));
}

TEST(Operations, bodies_that_are_not_whole_events_are_refused) {
  for (size_t size : {1, 127, 129})
    EXPECT_FALSE(decode_request(shape(WireOperation::kUnbatchedCreateAccounts), Bytes(size))) << size;
  EXPECT_FALSE(decode_request(shape(WireOperation::kGetChangeEvents), Bytes(0)));
  EXPECT_FALSE(decode_request(shape(WireOperation::kGetChangeEvents), Bytes(63)));
  EXPECT_FALSE(decode_request(shape(WireOperation::kGetChangeEvents), Bytes(128)));
  EXPECT_FALSE(decode_request(shape(WireOperation::kUnbatchedQueryAccounts), Bytes(128)));
  EXPECT_FALSE(decode_request(shape(WireOperation::kCreateAccounts), Bytes(0)));
}

TEST(Operations, a_query_has_one_filter_a_batch) {
  const OperationShape of = shape(WireOperation::kQueryTransfers);
  EXPECT_TRUE(decode_request(of, body_of(1, of)));
  EXPECT_FALSE(decode_request(of, body_of(0, of)));
  EXPECT_FALSE(decode_request(of, body_of(2, of)));
}

TEST(Operations, filters_whose_answers_could_not_share_one_reply_are_refused) {
  const OperationShape of = shape(WireOperation::kGetAccountTransfers);
  EXPECT_TRUE(decode_request(of, filters({8'189})));
  // A limit beyond a reply is capped, as older clients expect.
  const auto capped = decode_request(of, filters({0xffff'ffff}));
  ASSERT_TRUE(capped);
  EXPECT_EQ(capped->results_max, 8'189u);
  EXPECT_TRUE(decode_request(of, filters({4'000, 4'000, 189})));
  EXPECT_FALSE(decode_request(of, filters({4'000, 4'000, 190})));
  EXPECT_FALSE(decode_request(of, filters({8'189, 1})));
  EXPECT_TRUE(decode_request(of, filters({8'189, 0})));
}

TEST(Operations, a_command_names_only_batches_that_have_events) {
  const OperationShape of = shape(WireOperation::kCreateTransfers);
  auto batches_of = [&](std::vector<uint16_t> counts) {
    size_t events = 0;
    for (uint16_t each : counts) events += each;
    Bytes body(events * 128);
    append_trailer(body, counts, 128);
    const auto request = decode_request(of, body);
    EXPECT_TRUE(request);
    std::vector<uint16_t> room;
    const Command command = to_command(*request, {.client = 1, .session = 2, .request = 3}, room);
    EXPECT_EQ(command.operation, Operation::kCreateTransfers);
    EXPECT_EQ(command.events.data(), body.data());  // not copied
    EXPECT_EQ(command.events.size(), events * 128);
    EXPECT_EQ(command.from.request, 3u);
    return std::vector<uint16_t>(command.batches.begin(), command.batches.end());
  };
  EXPECT_EQ(batches_of({3}), std::vector<uint16_t>());
  EXPECT_EQ(batches_of({0, 3, 0}), std::vector<uint16_t>());
  EXPECT_EQ(batches_of({0, 0}), std::vector<uint16_t>());
  EXPECT_EQ(batches_of({0, 3, 0, 1, 2}), (std::vector<uint16_t>{3, 1, 2}));
}

TEST(Operations, results_are_answered_dense_or_sparse_for_each_batch) {
  const std::vector<CreateResult> results = {{10, 0xffff'ffff, 0}, {11, 5, 0}, {12, 6, 0}, {13, 0xffff'ffff, 0}};
  const std::vector<uint16_t> counts = {1, 0, 3};
  Bytes body(4 * 128);
  append_trailer(body, counts, 128);

  const auto dense = decode_request(shape(WireOperation::kCreateAccounts), body);
  const Bytes dense_answer = create_answer(dense.value(), results);
  const auto dense_batches = MultiBatch::decode(dense_answer, sizeof(CreateResult));
  ASSERT_TRUE(dense_batches);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(dense_batches->count(i), counts[i]);
  EXPECT_TRUE(record_at<CreateResult>(dense_batches->payload(), 2) == results[2]);

  const auto sparse = decode_request(shape(WireOperation::kSparseCreateAccounts), body);
  const Bytes sparse_answer = create_answer(sparse.value(), results);
  const auto sparse_batches = MultiBatch::decode(sparse_answer, sizeof(SparseResult));
  ASSERT_TRUE(sparse_batches);
  EXPECT_EQ(sparse_batches->count(0), 0);
  EXPECT_EQ(sparse_batches->count(1), 0);
  EXPECT_EQ(sparse_batches->count(2), 2);
  EXPECT_EQ(record_at<SparseResult>(sparse_batches->payload(), 1).index, 1u);  // inside its batch
  EXPECT_EQ(record_at<SparseResult>(sparse_batches->payload(), 1).status, 6u);

  const auto unbatched = decode_request(shape(WireOperation::kUnbatchedCreateAccounts), Bytes(4 * 128));
  EXPECT_EQ(create_answer(unbatched.value(), results).size(), 2 * sizeof(SparseResult));
}

TEST(Operations, a_body_that_is_finished_for_sending_is_a_request_and_too_much_is_refused) {
  Bytes room(kBodyBytesMax);
  const OperationShape create = shape(WireOperation::kCreateTransfers);
  for (size_t events : {0u, 1u, 8'189u}) {
    const auto size = finish_body(create, room, events * 128);
    ASSERT_TRUE(size);
    const auto request = decode_request(create, BytesView(room).first(*size));
    ASSERT_TRUE(request);
    EXPECT_EQ(request->event_count(), events);
  }
  EXPECT_EQ(finish_body(create, room, 8'190 * 128).error().code(), Code::kTooLarge);
  EXPECT_EQ(finish_body(create, room, 100).error().code(), Code::kInvalid);
  EXPECT_FALSE(payload_of(create, Bytes(15)));
  EXPECT_FALSE(payload_of(create, Bytes(16)));
}

// --- session

Request request(uint32_t number, uint8_t operation = 147, uint32_t release = kReleaseOurs) {
  Request made;
  made.frame.release = release;
  made.part.client = 5;
  made.part.session = 9;
  made.part.request = number;
  made.part.operation = operation;
  seal(made);
  return made;
}

TEST(Session, the_next_request_is_served_and_the_last_one_answered_again) {
  Session session;
  EXPECT_EQ(session.judge(request(7)).verdict, Judgement::Verdict::kServe);
  session.began(request(7));
  // Not answered yet, or too large to be kept: asked again.
  EXPECT_EQ(session.judge(request(7)).verdict, Judgement::Verdict::kServe);
  Reply reply = reply_to(request(7), 3, 4);
  seal_reply(reply, {});
  session.answered(reply, {});
  EXPECT_EQ(session.judge(request(7)).verdict, Judgement::Verdict::kAnswerAgain);
  EXPECT_EQ(session.last_reply().size(), kHeaderBytes);
  EXPECT_EQ(session.judge(request(8)).verdict, Judgement::Verdict::kServe);
  session.answered(reply, Bytes(Session::kKeptReplyBytesMax));
  EXPECT_EQ(session.judge(request(7)).verdict, Judgement::Verdict::kServe);
}

TEST(Session, older_requests_and_collisions_are_ignored_and_a_new_release_ends_the_session) {
  Session session;
  session.began(request(7));
  EXPECT_EQ(session.judge(request(6)).verdict, Judgement::Verdict::kIgnore);
  EXPECT_EQ(session.judge(request(7, 146)).verdict, Judgement::Verdict::kIgnore);
  const Judgement other = session.judge(request(8, 147, kReleaseOurs - 1));
  EXPECT_EQ(other.verdict, Judgement::Verdict::kEvict);
  EXPECT_EQ(other.reason, EvictionReason::kSessionReleaseMismatch);
}

TEST(Session, releases_0_16_and_0_17_are_spoken_with) {
  EXPECT_FALSE(refused_release(0x00001000));
  EXPECT_FALSE(refused_release(0x00001109));
  EXPECT_FALSE(refused_release(0x000011ff));
  EXPECT_EQ(refused_release(0x00000fff), EvictionReason::kReleaseTooLow);
  EXPECT_EQ(refused_release(0x00001200), EvictionReason::kReleaseTooHigh);
  EXPECT_EQ(refused_release(0x00010000), EvictionReason::kReleaseTooHigh);
}

}  // namespace
}  // namespace polis::ledger::tigerbeetle
