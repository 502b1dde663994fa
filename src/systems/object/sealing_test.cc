// Encrypted runs: they give back what was put in, by any range, and nothing else.
#include "systems/object/sealing.h"

#include <gtest/gtest.h>

#include "kernel/auth/node_key.h"
#include "kernel/base/text_encoding.h"
#include "kernel/io/shard.h"
#include "systems/object/encryption.h"
#include "systems/object/key_ring.h"
#include "systems/object/test_store.h"

namespace polis::object {
namespace {

using base::SeededRandom;

// Gives its bytes in pieces of odd sizes, or fails in the middle.
class OddSource final : public blob::ByteSource {
 public:
  explicit OddSource(BytesView bytes, size_t fails_at = SIZE_MAX) : left_(bytes), fails_at_(fails_at) {}
  Task<Result<size_t>> read(MutableBytes into) override {
    if (passed_ >= fails_at_) co_return fail(Code::kIo, "the client went away");
    size_t count = std::min(left_.size(), into.size());
    std::copy_n(left_.begin(), count, into.begin());
    left_ = left_.subspan(count);
    passed_ += count;
    co_return count;
  }

 private:
  BytesView left_;
  size_t fails_at_, passed_ = 0;
};

class Collecting final : public blob::ByteSink {
 public:
  Task<Result<void>> write(BytesView bytes) override {
    all.insert(all.end(), bytes.begin(), bytes.end());
    co_return Result<void>();
  }
  Bytes all;
};

Bytes some_bytes(size_t size) {
  Bytes out(size);
  SeededRandom random(size + 1);
  random.fill(out);
  return out;
}

RunKey run_key() {
  SeededRandom random(7);
  return make_run_key(SecretKey::make(random), "here", random);
}

// Reads the sealed run `piece` bytes at a time.
Task<Result<Bytes>> seal_in_pieces(const RunKey& run, BytesView plain, size_t piece) {
  OddSource source(plain);
  SealingSource sealing(run, source);
  Bytes out;
  for (;;) {
    size_t before = out.size();
    out.resize(before + piece);
    size_t count = CO_TRY(co_await sealing.read(MutableBytes(out).subspan(before)));
    out.resize(before + count);
    if (count < piece) break;
  }
  EXPECT_EQ(sealing.plain_bytes(), plain.size());
  co_return out;
}

Bytes sealed(const RunKey& run, BytesView plain, size_t piece = 512 * 1024) {
  return io::run([&]() -> Task<Bytes> { co_return (co_await seal_in_pieces(run, plain, piece)).value(); });
}

// Opens `range` from what is stored of it, fed `piece` bytes at a time.
Result<Bytes> opened(const RunKey& run, BytesView stored, blob::Range range, uint64_t plain_bytes, size_t piece) {
  return io::run([&]() -> Task<Result<Bytes>> {
    Collecting sink;
    OpeningSink opening(run.key, run.seal, range, plain_bytes, sink);
    blob::Range packets = packets_of(range, plain_bytes).stored;
    BytesView part = stored.subspan(packets.offset, packets.size);
    while (!part.empty()) {
      size_t count = std::min(piece, part.size());
      CO_TRY(co_await opening.write(part.first(count)));
      part = part.subspan(count);
    }
    CO_TRY(opening.finish());
    co_return std::move(sink.all);
  });
}

constexpr size_t kPacket = kPacketBytes;
constexpr size_t kSizes[] = {0, 1, 100, kPacket - 1, kPacket, kPacket + 1, 2 * kPacket, 9 * kPacket + 5, 17 * kPacket};

TEST(Sealing, a_run_has_the_size_that_was_computed_whatever_the_pieces) {
  RunKey run = run_key();
  for (size_t size : kSizes) {
    Bytes plain = some_bytes(size);
    Bytes whole = sealed(run, plain);
    EXPECT_EQ(whole.size(), sealed_size(size)) << size;
    for (size_t piece : {size_t{1000}, kPacket, kPacket + 16, size_t{256 * 1024}, size_t{1} << 21})
      EXPECT_EQ(sealed(run, plain, piece), whole) << size << " in pieces of " << piece;
  }
  EXPECT_EQ(sealed_size(0), 16u);
  EXPECT_EQ(sealed_size(uint64_t{5} << 30), (uint64_t{5} << 30) + 81920 * 16);
}

TEST(Sealing, any_range_comes_back_whatever_the_pieces) {
  RunKey run = run_key();
  SeededRandom random(3);
  for (size_t size : kSizes) {
    if (size == 0) continue;
    Bytes plain = some_bytes(size);
    Bytes whole = sealed(run, plain);
    std::vector<blob::Range> ranges{{0, size}, {size - 1, 1}, {0, 1}, {size / 2, size - size / 2}};
    for (int i = 0; i < 8; ++i) {
      uint64_t offset = random.below(size);
      ranges.push_back({offset, 1 + random.below(size - offset)});
    }
    for (const blob::Range& range : ranges) {
      for (size_t piece : {size_t{999}, kPacket + 16, size_t{1} << 20}) {
        auto back = opened(run, whole, range, size, piece);
        ASSERT_TRUE(back) << back.error().text();
        EXPECT_TRUE(std::equal(back->begin(), back->end(), plain.begin() + static_cast<ptrdiff_t>(range.offset)));
        EXPECT_EQ(back->size(), range.size);
      }
    }
  }
}

TEST(Sealing, a_flipped_bit_anywhere_is_noticed_and_nothing_of_its_packet_leaves) {
  RunKey run = run_key();
  const size_t size = 3 * kPacket + 100;
  Bytes plain = some_bytes(size);
  Bytes whole = sealed(run, plain);
  for (size_t at : {size_t{0}, size_t{5000}, kPacket + 15, kPacket + 16, 2 * (kPacket + 16) + 7, whole.size() - 1}) {
    Bytes hurt = whole;
    hurt[at] ^= std::byte{0x10};
    auto back = opened(run, hurt, {0, size}, size, 100'000);
    ASSERT_FALSE(back) << at;
    EXPECT_EQ(back.error().code(), Code::kCorrupt);
    // Packets that are whole still open.
    size_t packet = at / (kPacket + 16), other = packet == 0 ? 1 : 0;
    EXPECT_TRUE(opened(run, hurt, {other * kPacket, kPacket}, size, 100'000));
  }
}

TEST(Sealing, packets_of_another_place_run_or_length_do_not_open) {
  RunKey run = run_key();
  const size_t size = 3 * kPacket;
  Bytes plain = some_bytes(size);
  Bytes whole = sealed(run, plain);
  const auto packet = static_cast<ptrdiff_t>(kPacket + 16);

  Bytes swapped = whole;
  std::swap_ranges(swapped.begin(), swapped.begin() + packet, swapped.begin() + packet);
  EXPECT_FALSE(opened(run, swapped, {0, size}, size, 100'000));

  // Cut at the end of a packet, and whoever cuts lies about the size, too.
  Bytes cut(whole.begin(), whole.begin() + 2 * packet);
  EXPECT_FALSE(opened(run, cut, {0, 2 * kPacket}, 2 * kPacket, 100'000));

  // The same bytes under a key of their own.
  SeededRandom random(8);
  RunKey other = make_run_key(SecretKey::make(random), "here", random);
  EXPECT_NE(sealed(other, plain), whole);
  EXPECT_FALSE(opened(other, whole, {0, size}, size, 100'000));
}

TEST(Sealing, missing_and_surplus_bytes_are_errors) {
  RunKey run = run_key();
  const size_t size = 2 * kPacket;
  Bytes whole = sealed(run, some_bytes(size));
  io::run([&]() -> Task<bool> {
    Collecting sink;
    OpeningSink opening(run.key, run.seal, {0, size}, size, sink);
    EXPECT_TRUE(co_await opening.write(BytesView(whole).first(kPacket + 100)));
    auto ended = opening.finish();
    EXPECT_FALSE(ended);
    EXPECT_EQ(sink.all.size(), kPacket);  // what was not whole has not left
    EXPECT_TRUE(co_await opening.write(BytesView(whole).subspan(kPacket + 100)));
    EXPECT_TRUE(opening.finish());
    EXPECT_FALSE(co_await opening.write(BytesView(whole).first(1)));
    co_return true;
  });
}

TEST(Sealing, a_source_that_fails_is_reported_as_it_fails) {
  RunKey run = run_key();
  Bytes plain = some_bytes(3 << 20);
  io::run([&]() -> Task<bool> {
    OddSource source(plain, 1 << 20);
    SealingSource sealing(run, source);
    Bytes out(512 * 1024);
    Result<size_t> count = 1u;
    for (int i = 0; i < 20 && count; ++i) count = co_await sealing.read(out);
    EXPECT_FALSE(count);
    EXPECT_EQ(count.error().code(), Code::kIo);
    co_return true;
  });
}

TEST(Sealing, a_short_text_is_one_packet_like_any_other) {
  RunKey run = run_key();
  for (std::string_view plain : {"", "x", "a little more"}) {
    std::string text = seal_text(run, plain);
    EXPECT_EQ(BytesView(as_bytes(text)).size(), sealed_size(plain.size()));
    Bytes streamed = sealed(run, as_bytes(plain));
    EXPECT_EQ(as_text(streamed), text);
  }
}

// --- keys

TEST(RunKeys, open_only_under_their_outer_key_and_where_they_belong) {
  SeededRandom random(1);
  SecretKey outer = SecretKey::make(random), other = SecretKey::make(random);
  RunKey run = make_run_key(outer, "bucket 1", random);
  auto back = open_run_key(outer, run.seal, "bucket 1");
  ASSERT_TRUE(back);
  EXPECT_TRUE(std::ranges::equal(back->bytes(), run.key.bytes()));
  EXPECT_FALSE(open_run_key(other, run.seal, "bucket 1"));
  EXPECT_FALSE(open_run_key(outer, run.seal, "bucket 2"));
  for (size_t at = 0; at < run.seal.wrapped_key.size(); ++at) {
    Seal hurt = run.seal;
    hurt.wrapped_key[at] ^= 1;
    EXPECT_FALSE(open_run_key(outer, hurt, "bucket 1")) << at;
  }
  for (size_t size = 0; size < run.seal.wrapped_key.size(); ++size)
    EXPECT_FALSE(open_run_key(outer, {run.seal.wrapped_key.substr(0, size), run.seal.nonce}, "bucket 1"));
  EXPECT_FALSE(open_run_key(outer, {run.seal.wrapped_key, "short"}, "bucket 1"));
}

TEST(RunKeys, are_never_the_same_twice) {
  base::SystemRandom random;
  SecretKey outer = SecretKey::make(random);
  RunKey one = make_run_key(outer, "", random), two = make_run_key(outer, "", random);
  EXPECT_NE(one.seal.wrapped_key, two.seal.wrapped_key);
  EXPECT_FALSE(std::ranges::equal(one.key.bytes(), two.key.bytes()));
}

TEST(RunKeys, are_bound_to_bucket_kind_key_and_context_but_not_to_what_a_client_is_told_besides) {
  SeededRandom random(1);
  SecretKey outer = SecretKey::make(random);
  Encryption kms{.kind = EncryptionKind::kKms, .customer_key_md5 = {}, .kms_key_id = "k", .kms_context = "c"};
  RunKey run = Envelope(outer, 5, kms).make(random);
  EXPECT_TRUE(Envelope(outer, 5, kms).open(run.seal));
  EXPECT_FALSE(Envelope(outer, 6, kms).open(run.seal));
  Encryption other = kms;
  other.bucket_key = true;
  EXPECT_TRUE(Envelope(outer, 5, other).open(run.seal));
  other.kms_context = "d";
  EXPECT_FALSE(Envelope(outer, 5, other).open(run.seal));
  other = kms;
  other.kms_key_id = "kc";
  other.kms_context = "";
  EXPECT_FALSE(Envelope(outer, 5, other).open(run.seal));
  other = kms;
  other.kind = EncryptionKind::kS3;
  EXPECT_FALSE(Envelope(outer, 5, other).open(run.seal));
}

// --- the key ring

TEST(KeyRing, a_named_key_stays_the_same_until_it_is_disabled) {
  with_store([](TestStore& store) -> Task<void> {
    base::SystemRandom random;
    auth::NodeKey node_key(std::array<std::byte, 32>{std::byte{3}});
    KeyRing ring(store.keyspace(), KeyRing::installation_key(node_key));
    auto made = co_await store.change([&](Write& write) { return ring.create(write.txn, "one", write.now, random); });
    EXPECT_TRUE(made);
    auto again = co_await store.change([&](Write& write) { return ring.create(write.txn, "one", write.now, random); });
    EXPECT_FALSE(again);
    for (const std::string& bad : std::vector<std::string>{"", "with space", "ü", std::string(257, 'a')}) {
      auto refused =
          co_await store.change([&](Write& write) { return ring.create(write.txn, bad, write.now, random); });
      EXPECT_FALSE(refused) << bad;
    }
    auto txn = (co_await store.store().begin()).value();
    auto key = co_await ring.named(*txn, "one");
    EXPECT_TRUE(key);
    // Another process with the same node key.
    KeyRing same(store.keyspace(), KeyRing::installation_key(node_key));
    auto same_key = co_await same.named(*txn, "one");
    EXPECT_TRUE(same_key && std::ranges::equal(key->bytes(), same_key->bytes()));
    // With another node key the row does not open, and says so instead of giving other bytes.
    KeyRing foreign(store.keyspace(), KeyRing::installation_key(auth::NodeKey(std::array<std::byte, 32>{})));
    EXPECT_FALSE(co_await foreign.named(*txn, "one"));
    auto unknown = co_await ring.named(*txn, "two");
    EXPECT_EQ(unknown.error().code(), ErrorCode::kKmsNotFound);
    txn.reset();

    auto disabled = co_await store.change([&](Write& write) { return ring.set_enabled(write.txn, "one", false); });
    EXPECT_TRUE(disabled && !disabled->enabled);
    txn = (co_await store.store().begin()).value();
    auto refused = co_await ring.named(*txn, "one");
    EXPECT_EQ(refused.error().code(), ErrorCode::kKmsDisabled);
    auto all = co_await ring.list(*txn);
    EXPECT_TRUE(all && all->size() == 1 && all->front().name == "one");
    txn.reset();
    auto missing = co_await store.change([&](Write& write) { return ring.set_enabled(write.txn, "two", true); });
    EXPECT_EQ(missing.error().code(), ErrorCode::kKmsNotFound);
  });
}

TEST(KeyRing, without_an_installation_key_nothing_is_offered) {
  with_store([](TestStore& store) -> Task<void> {
    KeyRing ring(store.keyspace(), std::nullopt);
    EXPECT_EQ(ring.installation().error().code(), ErrorCode::kNotImplemented);
    auto txn = (co_await store.store().begin()).value();
    EXPECT_EQ((co_await ring.named(*txn, "one")).error().code(), ErrorCode::kNotImplemented);
  });
}

TEST(KeyRing, a_row_of_a_key_comes_back_and_a_broken_one_is_refused) {
  KmsKey key{.name = "arn:aws:kms:us-east-1:1:key/x",
             .created_at = WallTime(Duration(123)),
             .enabled = false,
             .wrapped = std::string(65, 'w')};
  std::string row = encode(key);
  auto back = decode_kms_key(row);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->name, key.name);
  EXPECT_EQ(back->created_at, key.created_at);
  EXPECT_FALSE(back->enabled);
  EXPECT_EQ(back->wrapped, key.wrapped);
  for (size_t size = 0; size < row.size(); ++size) EXPECT_FALSE(decode_kms_key(row.substr(0, size))) << size;
  EXPECT_FALSE(decode_kms_key(row + "x"));
  row[0] = 9;
  EXPECT_FALSE(decode_kms_key(row));
}

// --- what requests ask for

EncryptionFields customer(std::string_view algorithm, std::string_view key, std::string_view md5) {
  EncryptionFields fields;
  fields.customer_algorithm = algorithm;
  fields.customer_key = key;
  fields.customer_key_md5 = md5;
  return fields;
}

// 32 times "k" and its MD5.
constexpr std::string_view kKey = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";

TEST(EncryptionWishes, are_read_or_refused) {
  std::string md5 = base::base64_encode(base::md5(std::string_view("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk")));
  auto wish = encryption_wish(customer("AES256", kKey, md5));
  ASSERT_TRUE(wish) << wish.error().message();
  EXPECT_EQ(wish->encryption.kind, EncryptionKind::kCustomer);
  EXPECT_EQ(wish->encryption.customer_key_md5.size(), 16u);
  EXPECT_EQ(as_text(wish->customer_key->bytes()), "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk");

  EXPECT_FALSE(encryption_wish({})->encryption);
  auto of = [](std::optional<std::string_view> method, std::optional<std::string_view> key = {},
               std::optional<std::string_view> context = {}) {
    EncryptionFields fields;
    fields.method = method;
    fields.kms_key_id = key;
    fields.kms_context = context;
    return encryption_wish(fields);
  };
  EXPECT_EQ(of("AES256")->encryption.kind, EncryptionKind::kS3);
  EXPECT_EQ(of("aws:kms", "one")->encryption.kms_key_id, "one");
  EXPECT_EQ(of("aws:kms")->encryption.kms_key_id, "");
  EXPECT_EQ(of("aws:kms", "one", "eyJhIjoiYiJ9")->encryption.kms_context, "eyJhIjoiYiJ9");
  for (std::string_view context : {"", "{}", "e30", "W10=", "eyJhIjoxfQ=="})
    EXPECT_FALSE(of("aws:kms", "one", context));
  std::string long_context(9000, 'A');
  EXPECT_FALSE(of("aws:kms", "one", long_context));

  auto code = [](const auto& answer) { return answer ? ErrorCode::kInternalError : answer.error().code(); };
  EXPECT_EQ(code(of("")), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(of("aes:kms")), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(of("aws:kms:dsse")), ErrorCode::kNotImplemented);
  EXPECT_EQ(code(of("AES256", "one")), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(of({}, "one")), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(of("aws:kms", "")), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(of("aws:kms", "no space")), ErrorCode::kInvalidArgument);

  EXPECT_EQ(code(encryption_wish(customer("AES192", kKey, md5))), ErrorCode::kInvalidEncryptionAlgorithm);
  EXPECT_EQ(code(encryption_wish(customer("AES256", "c2hvcnQ=", md5))), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(encryption_wish(customer("AES256", "no base64!", md5))), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(encryption_wish(customer("AES256", kKey, "AAAAAAAAAAAAAAAAAAAAAA=="))), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(encryption_wish(customer("AES256", kKey, ""))), ErrorCode::kInvalidArgument);
  EncryptionFields partial = customer("AES256", kKey, md5);
  partial.customer_algorithm.reset();
  EXPECT_EQ(code(encryption_wish(partial)), ErrorCode::kInvalidArgument);
  partial = customer("AES256", kKey, md5);
  partial.customer_key.reset();
  EXPECT_EQ(code(encryption_wish(partial)), ErrorCode::kInvalidArgument);
  partial = customer("AES256", kKey, md5);
  partial.customer_key_md5.reset();
  EXPECT_EQ(code(encryption_wish(partial)), ErrorCode::kInvalidArgument);
  EncryptionFields both = customer("AES256", kKey, md5);
  both.method = "AES256";
  EXPECT_EQ(code(encryption_wish(both)), ErrorCode::kInvalidArgument);
}

TEST(EncryptionConfigurations, are_read_written_or_refused) {
  auto of = [](std::string_view rules) {
    auto xml = parse_xml("<ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" +
                         std::string(rules) + "</ServerSideEncryptionConfiguration>");
    return parse_encryption_configuration(*xml);
  };
  auto rule = [&](std::string_view inside, std::string_view behind = "") {
    return of("<Rule><ApplyServerSideEncryptionByDefault>" + std::string(inside) +
              "</ApplyServerSideEncryptionByDefault>" + std::string(behind) + "</Rule>");
  };
  EXPECT_EQ(rule("<SSEAlgorithm>AES256</SSEAlgorithm>")->kind, EncryptionKind::kS3);
  auto kms = rule("<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>one</KMSMasterKeyID>",
                  "<BucketKeyEnabled>true</BucketKeyEnabled>");
  ASSERT_TRUE(kms);
  EXPECT_EQ(kms->kms_key_id, "one");
  EXPECT_TRUE(kms->bucket_key);
  auto back = parse_encryption_configuration(*parse_xml(encryption_configuration(*kms)));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, *kms);

  EXPECT_FALSE(of(""));
  EXPECT_FALSE(of("<Rule/>"));
  EXPECT_FALSE(rule(""));
  EXPECT_FALSE(rule("<SSEAlgorithm>AES128</SSEAlgorithm>"));
  EXPECT_FALSE(rule("<SSEAlgorithm>AES256</SSEAlgorithm><KMSMasterKeyID>one</KMSMasterKeyID>"));
  EXPECT_FALSE(rule("<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>no space</KMSMasterKeyID>"));
  EXPECT_EQ(rule("<SSEAlgorithm>aws:kms:dsse</SSEAlgorithm>").error().code(), ErrorCode::kNotImplemented);
  std::string_view one =
      "<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></"
      "ApplyServerSideEncryptionByDefault></Rule>";
  EXPECT_FALSE(of(std::string(one) + std::string(one)));
  EXPECT_FALSE(parse_encryption_configuration(*parse_xml("<Other/>")));
}

}  // namespace
}  // namespace polis::object
