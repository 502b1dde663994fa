// The checksum, headers and trailers: what the bytes are, and that wrong ones are refused.
#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "systems/ledger/tigerbeetle/message.h"
#include "systems/ledger/tigerbeetle/multi_batch.h"

namespace polis::ledger::tigerbeetle {
namespace {

using Block = Aegis128lMac::Block;

std::string hex(BytesView bytes) {
  std::string text;
  for (std::byte each : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[static_cast<uint8_t>(each) >> 4];
    text += kDigits[static_cast<uint8_t>(each) & 15];
  }
  return text;
}

Block block(std::string_view text) {
  Block bytes{};
  auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
  return bytes;
}

Bytes counting(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i);
  return bytes;
}

std::string checksum_text(BytesView bytes) {
  const auto tag = std::bit_cast<Block>(checksum(bytes));
  return hex(tag);
}

// --- checksum

// draft-irtf-cfrg-aegis-aead, appendix "AEGIS-128L Test Vectors", update.
constexpr std::string_view kBefore[8] = {"9b7e60b24cc873ea894ecc07911049a3", "330be08f35300faa2ebf9a7b0d274658",
                                         "7bbd5bd2b049f7b9b515cf26fbe7756c", "c35a00f55ea86c3886ec5e928f87db18",
                                         "9ebccafce87cab446396c4334592c91f", "58d83e31f256371e60fc6bb257114601",
                                         "1639b56ea322c88568a176585bc915de", "640818ffb57dc0fbc2e72ae93457e39a"};
constexpr std::string_view kAfter[8] = {"596ab773e4433ca0127c73f60536769d", "790394041a3d26ab697bde865014652d",
                                        "38cf49e4b65248acd533041b64dd0611", "16d8e58748f437bfff1797f780337cee",
                                        "9689ecdf08228c74d7e3360cca53d0a5", "a21746bb193a569e331e1aa985d0d729",
                                        "09d714e6fcf9177a8ed1cde7e3d259a6", "61279ba73167f0ab76f0a11bf203bdff"};

TEST(Aegis128l, both_forms_give_the_state_of_the_drafts_update_vector) {
  for (auto* absorb : {aegis128l_absorb, aegis128l_absorb_portable}) {
    Aegis128lMac::State state;
    for (size_t i = 0; i < 8; ++i) state.words[i] = block(kBefore[i]);
    const std::array<Block, 2> step = {block("033e6975b94816879e42917650955aa0"),
                                       block("fcc1968a46b7e97861bd6e89af6aa55f")};
    absorb(state, step[0].data(), 1);
    for (size_t i = 0; i < 8; ++i) EXPECT_EQ(hex(state.words[i]), kAfter[i]);
  }
}

TEST(Aegis128l, the_tag_of_nothing_is_that_of_the_drafts_second_vector) {
  Aegis128lMac mac(block("10010000000000000000000000000000"), block("10000200000000000000000000000000"));
  EXPECT_EQ(hex(mac.finish()), "c2b879a67def9d74e6c14f708bbcc9b4");
}

// Made with the draft's reference implementation: the bytes as associated data, no message.
TEST(Aegis128l, tags_equal_those_of_the_reference_at_all_fillings_of_a_step) {
  Aegis128lMac mac(block("10010000000000000000000000000000"), block("10000200000000000000000000000000"));
  mac.update(counting(35));
  EXPECT_EQ(hex(mac.finish()), "3982e98c66fa9232e9190ec57b120725");
  const std::pair<size_t, std::string_view> cases[] = {
      {1, "6e12b8774264fed574e418fe77b706bc"},   {15, "977666ded767116cd35c3d7ff44d9d60"},
      {16, "e8e0378638d7e8c7d35abf3499963d99"},  {17, "609980034346bfc65f32a853e05fa70c"},
      {31, "419e43b0a730e59ecedf48700b4d97ba"},  {32, "2a7ca5353eba9161dc6c83c36d2e6adb"},
      {33, "205dbc4d693090b206092b05c26870c4"},  {64, "b4e8e46cee04a401ec67bad73df4aa60"},
      {100, "d582df5fc96846c5a983e5fb910cf1b3"}, {256, "d6ba1c495ca4c976f5d0993644aa9acd"},
      {1000, "8466d68cd1f58e7f5c2a4b57c021f56d"}};
  for (const auto& [size, tag] : cases) EXPECT_EQ(checksum_text(counting(size)), tag) << size;
}

TEST(Aegis128l, the_protocols_two_known_checksums_hold) {
  EXPECT_EQ(checksum_text({}), "83cc600dc4e3e7e62d4055826174f149");
  EXPECT_EQ(checksum_text(Bytes(16)), "f72ad48dd05dd1656133101cd4be3a26");
}

TEST(Aegis128l, pieces_of_any_size_and_alignment_give_the_tag_of_the_whole) {
  base::SeededRandom random(7);
  Bytes bytes(5000);
  random.fill(bytes);
  for (int round = 0; round < 300; ++round) {
    const size_t first = random.below(64), size = random.below(bytes.size() - first);
    const BytesView whole = BytesView(bytes).subspan(first, size);
    Aegis128lMac mac;
    for (BytesView rest = whole; !rest.empty();) {
      const size_t taken = std::min<size_t>(rest.size(), random.below(100));
      mac.update(rest.first(taken));
      rest = rest.subspan(taken);
    }
    EXPECT_EQ(hex(mac.finish()), checksum_text(whole));
  }
}

TEST(Aegis128l, the_portable_form_agrees_with_the_fast_one) {
  base::SeededRandom random(11);
  Bytes bytes(32 * 33);
  random.fill(bytes);
  Aegis128lMac::State fast{}, portable{};
  for (size_t steps : {1, 2, 31, 33}) {
    aegis128l_absorb(fast, bytes.data(), steps);
    aegis128l_absorb_portable(portable, bytes.data(), steps);
    for (size_t i = 0; i < 8; ++i) EXPECT_EQ(fast.words[i], portable.words[i]);
  }
}

// --- headers

constexpr u128 kCluster = 5;

Request good_request() {
  Request request;
  request.frame.cluster = kCluster;
  request.frame.release = kReleaseOurs;
  request.part.parent = 9;
  request.part.client = 77;
  request.part.session = 3;
  request.part.request = 4;
  request.part.operation = 147;
  return request;
}

TEST(Message, a_sealed_request_and_its_body_are_decoded_as_they_were) {
  const Bytes body = counting(300);
  const BytesView parts[] = {BytesView(body).first(100), BytesView(body).subspan(100)};
  Request request = good_request();
  seal(request, parts);
  const auto header = decode_header(bytes_of(request), kCluster);
  ASSERT_TRUE(header) << header.error().text();
  EXPECT_EQ(header->body_bytes(), 300u);
  EXPECT_EQ(header->as<RequestPart>().part.client, 77u);
  EXPECT_TRUE(check_body(*header, body));
}

TEST(Message, any_changed_bit_of_a_header_is_found) {
  Request request = good_request();
  seal(request);
  for (size_t bit = 0; bit < kHeaderBytes * 8; ++bit) {
    Bytes bytes(bytes_of(request).begin(), bytes_of(request).end());
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    const auto header = decode_header(bytes, kCluster);
    ASSERT_FALSE(header) << bit;
    // The upper half of the checksum's field is not covered by the checksum, but must be 0.
    EXPECT_EQ(header.error().code(), Code::kCorrupt) << bit;
  }
}

TEST(Message, a_damaged_body_is_found) {
  Bytes body = counting(128);
  const BytesView part = body;
  Request request = good_request();
  seal(request, std::span(&part, 1));
  const auto header = decode_header(bytes_of(request), kCluster);
  ASSERT_TRUE(header);
  body[64] ^= std::byte{1};
  EXPECT_EQ(check_body(*header, body).error().code(), Code::kCorrupt);
}

TEST(Message, text_of_another_protocol_is_no_header) {
  std::string http = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
  http.resize(kHeaderBytes, ' ');
  EXPECT_EQ(decode_header(as_bytes(http), 0).error().code(), Code::kCorrupt);
  EXPECT_EQ(decode_header(Bytes(kHeaderBytes), 0).error().code(), Code::kCorrupt);
  EXPECT_EQ(decode_header(Bytes(kHeaderBytes, std::byte{0xff}), 0).error().code(), Code::kCorrupt);
}

// A well-made checksum over a header that breaks one rule.
template <class Part>
Code refusal(Message<Part> message) {
  message.frame.checksum = header_checksum(bytes_of(message));
  const auto header = decode_header(bytes_of(message), kCluster);
  return header ? Code::kExists : header.error().code();
}

TEST(Message, sizes_outside_a_message_are_refused_although_the_checksum_holds) {
  Request request = good_request();
  seal(request);
  EXPECT_EQ(refusal(request), Code::kExists);  // as it is, it is fine
  for (uint32_t size : {0u, 1u, 255u, (1u << 20) + 1, 0x7fffffffu, 0xffffffffu}) {
    Request wrong = request;
    wrong.frame.size = size;
    EXPECT_EQ(refusal(wrong), Code::kInvalid) << size;
  }
  Request largest = request;
  largest.frame.size = kMessageBytesMax;
  EXPECT_EQ(refusal(largest), Code::kExists);
}

TEST(Message, every_broken_rule_of_a_request_is_refused) {
  Request good = good_request();
  seal(good);
  const std::function<void(Request&)> breaks[] = {
      [](Request& r) { r.frame.cluster = 6; },
      [](Request& r) { r.frame.protocol = 1; },
      [](Request& r) { r.frame.epoch = 1; },
      [](Request& r) { r.frame.nonce = 1; },
      [](Request& r) { r.frame.reserved[11] = 1; },
      [](Request& r) { r.frame.checksum_high = 1; },
      [](Request& r) { r.frame.checksum_body_high = 1; },
      [](Request& r) { r.frame.release = 0; },
      [](Request& r) { r.frame.replica = 1; },
      [](Request& r) { r.frame.command = static_cast<WireCommand>(6); },
      [](Request& r) { r.frame.command = static_cast<WireCommand>(255); },
      [](Request& r) { r.part.parent_high = 1; },
      [](Request& r) { r.part.client = 0; },
      [](Request& r) { r.part.session = 0; },
      [](Request& r) { r.part.request = 0; },
      [](Request& r) { r.part.operation = 1; },
      [](Request& r) { r.part.operation = 127; },
      [](Request& r) { r.part.operation = 2; },  // a registration has neither parent nor session nor number
      [](Request& r) { r.part.reserved_operation[2] = 1; },
      [](Request& r) { r.part.reserved[51] = 1; },
  };
  for (size_t i = 0; i < std::size(breaks); ++i) {
    Request wrong = good;
    breaks[i](wrong);
    EXPECT_EQ(refusal(wrong), Code::kInvalid) << i;
  }
}

TEST(Message, pings_with_a_body_or_without_a_client_are_refused) {
  PingClient good;
  good.frame.cluster = kCluster;
  good.frame.release = kReleaseOurs;
  good.part.client = 1;
  seal(good);
  EXPECT_EQ(refusal(good), Code::kExists);
  for (auto change : {+[](PingClient& p) { p.frame.size = 257; }, +[](PingClient& p) { p.part.client = 0; },
                      +[](PingClient& p) { p.frame.view = 1; }, +[](PingClient& p) { p.frame.checksum_body = 1; },
                      +[](PingClient& p) { p.part.reserved[0] = 1; }}) {
    PingClient wrong = good;
    change(wrong);
    EXPECT_EQ(refusal(wrong), Code::kInvalid);
  }
}

TEST(Message, evictions_and_replies_with_impossible_fields_are_refused) {
  Eviction eviction;
  eviction.frame.cluster = kCluster;
  eviction.frame.release = kReleaseOurs;
  eviction.part.client = 1;
  eviction.part.reason = EvictionReason::kNoSession;
  seal(eviction);
  EXPECT_EQ(refusal(eviction), Code::kExists);
  eviction.part.reason = static_cast<EvictionReason>(9);
  EXPECT_EQ(refusal(eviction), Code::kInvalid);
  eviction.part.reason = static_cast<EvictionReason>(0);
  EXPECT_EQ(refusal(eviction), Code::kInvalid);

  Reply reply = reply_to(good_request(), 8, 9);
  seal_reply(reply, {});
  EXPECT_EQ(refusal(reply), Code::kExists);
  for (auto change : {+[](Reply& r) { r.part.op = 9; }, +[](Reply& r) { r.part.timestamp = 0; },
                      +[](Reply& r) { r.part.request = 0; }, +[](Reply& r) { r.part.context_high = 1; }}) {
    Reply wrong = reply;
    change(wrong);
    EXPECT_EQ(refusal(wrong), Code::kInvalid);
  }
}

TEST(Message, the_context_of_a_reply_is_its_checksum_while_the_context_is_0) {
  Request request = good_request();
  seal(request);
  Reply reply = reply_to(request, 8, 9);
  seal_reply(reply, {});
  const u128 context = reply.part.context;
  EXPECT_NE(context, u128{0});
  EXPECT_TRUE(reply.part.request_checksum == request.frame.checksum);
  reply.part.context = 0;
  EXPECT_TRUE(header_checksum(bytes_of(reply)) == context);
}

// --- several batches in a body

TEST(MultiBatch, the_example_of_four_batches_is_laid_out_from_the_end) {
  // 8, 1, 0 and 4 events of 128 bytes.
  Bytes body(13 * 128);
  const uint16_t counts[] = {8, 1, 0, 4};
  append_trailer(body, counts, 128);
  ASSERT_EQ(body.size(), 14u * 128);
  EXPECT_EQ(hex(BytesView(body).last(10)), "04000000010008000400");
  EXPECT_EQ(hex(BytesView(body).subspan(13 * 128, 4)), "ffffffff");
}

TEST(MultiBatch, what_is_encoded_is_decoded_for_all_sizes_of_elements) {
  base::SeededRandom random(3);
  for (int round = 0; round < 500; ++round) {
    const size_t element = size_t{8} << random.below(5);
    std::vector<uint16_t> counts(1 + random.below(round % 10 == 0 ? 3000 : 20));
    size_t elements = 0;
    for (uint16_t& each : counts) elements += each = static_cast<uint16_t>(random.below(5));
    Bytes body(elements * element);
    random.fill(body);
    const Bytes payload = body;
    append_trailer(body, counts, element);
    EXPECT_EQ(body.size() % element, 0u);
    const auto decoded = MultiBatch::decode(body, element);
    ASSERT_TRUE(decoded) << decoded.error().text();
    EXPECT_TRUE(std::ranges::equal(decoded->payload(), payload));
    ASSERT_EQ(decoded->batches(), counts.size());
    for (size_t i = 0; i < counts.size(); ++i) EXPECT_EQ(decoded->count(i), counts[i]);
  }
}

TEST(MultiBatch, bodies_that_are_not_what_their_trailer_says_are_refused) {
  Bytes good(3 * 128);
  const uint16_t counts[] = {1, 2};
  append_trailer(good, counts, 128);
  EXPECT_TRUE(MultiBatch::decode(good, 128));

  auto refused = [&](const std::function<void(Bytes&)>& change) {
    Bytes wrong = good;
    change(wrong);
    const auto decoded = MultiBatch::decode(wrong, 128);
    return !decoded && decoded.error().code() == Code::kInvalid;
  };
  auto u16_from_end = [](Bytes& body, size_t back, uint16_t value) {
    std::memcpy(body.data() + body.size() - back, &value, 2);
  };
  EXPECT_TRUE(refused([](Bytes& body) { body.clear(); }));
  EXPECT_TRUE(refused([](Bytes& body) { body.resize(1); }));
  EXPECT_TRUE(refused([&](Bytes& body) { u16_from_end(body, 2, 0); }));       // no batch
  EXPECT_TRUE(refused([&](Bytes& body) { u16_from_end(body, 2, 0xffff); }));  // padding where the number is
  EXPECT_TRUE(refused([&](Bytes& body) { u16_from_end(body, 2, 0xfffe); }));  // a trailer longer than the body
  EXPECT_TRUE(refused([&](Bytes& body) { u16_from_end(body, 2, 1); }));       // what is a count is not padding
  EXPECT_TRUE(refused([&](Bytes& body) { u16_from_end(body, 4, 3); }));       // too many elements
  EXPECT_TRUE(refused([&](Bytes& body) { u16_from_end(body, 6, 0xffff); }));
  EXPECT_TRUE(refused([&](Bytes& body) { u16_from_end(body, 8, 0); }));  // padding that is not 0xff
  EXPECT_TRUE(refused([](Bytes& body) { body.erase(body.begin()); }));
  EXPECT_TRUE(refused([](Bytes& body) { body.erase(body.begin(), body.begin() + 128); }));
  EXPECT_TRUE(refused([](Bytes& body) { body.insert(body.begin(), 128, std::byte{}); }));
}

TEST(MultiBatch, a_message_holds_8189_events_of_128_bytes) {
  Bytes body(8189 * 128);
  const uint16_t count = 8189;
  append_trailer(body, std::span(&count, 1), 128);
  EXPECT_EQ(body.size(), kBodyBytesMax);
}

}  // namespace
}  // namespace polis::ledger::tigerbeetle
