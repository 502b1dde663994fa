#include "systems/object/aws_chunked.h"

#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "kernel/base/text_encoding.h"

namespace polis::object {
namespace {

constexpr std::string_view kExampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const CredentialScope kScope{"20130524", "us-east-1", "s3"};

// The example request of the Amazon S3 API Reference, "transferring payload in multiple chunks".
Verified signing(PayloadMode mode,
                 std::string seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9") {
  Verified verified;
  verified.payload = mode;
  verified.signing_key = derive_signing_key(kExampleSecret, kScope);
  verified.seed_signature = std::move(seed);
  verified.amz_date = "20130524T000000Z";
  verified.scope = kScope.text();
  return verified;
}

struct Outcome {
  std::string data;
  std::string code = "accepted";
  std::vector<OwnedHeader> trailers;
};

// Feeds the body in pieces of at most `piece` bytes.
Outcome decode(const Verified& verified, std::string_view body, uint64_t decoded_size, std::string_view trailers,
               size_t piece = SIZE_MAX) {
  Outcome outcome;
  auto decoder = ChunkedDecoder::make(verified, decoded_size, trailers);
  if (!decoder) return {.code = std::string(decoder.error().code)};
  while (!body.empty()) {
    auto step = decoder->feed(as_bytes(body.substr(0, piece)));
    if (!step) {
      outcome.code = step.error().code;
      return outcome;
    }
    EXPECT_GT(step->consumed, 0u);
    outcome.data += as_text(step->data);
    body.remove_prefix(step->consumed);
  }
  if (auto finished = decoder->finish(); !finished) outcome.code = finished.error().code;
  outcome.trailers = decoder->trailers();
  return outcome;
}

std::string encode(const Verified& verified, std::string_view data, size_t chunk,
                   std::span<const OwnedHeader> trailers = {}) {
  ChunkedEncoder encoder(verified);
  std::string out;
  while (!data.empty()) {
    std::string_view part = data.substr(0, chunk);
    data.remove_prefix(part.size());
    out += encoder.begin_chunk(as_bytes(part));
    out += part;
    out += ChunkedEncoder::kEndChunk;
  }
  return out + encoder.finish(trailers);
}

const std::string kBody(66'560, 'a');

std::string signed_example() {
  return "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" +
         kBody.substr(0, 65'536) +
         "\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" +
         kBody.substr(65'536) +
         "\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n";
}

const Verified kTrailerSigning =
    signing(PayloadMode::kStreamingSignedTrailer, "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e");

std::string trailer_example(std::string_view after_checksum = "\r\n") {
  return "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n" +
         kBody.substr(0, 65'536) +
         "\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n" +
         kBody.substr(65'536) +
         "\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
         "x-amz-checksum-crc32c:sOO8/Q==" +
         std::string(after_checksum) +
         "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n";
}

TEST(AwsChunked, the_example_of_the_s3_reference_decodes_in_pieces_of_any_size) {
  for (size_t piece : {size_t{1}, size_t{2}, size_t{7}, size_t{64}, size_t{4096}, SIZE_MAX}) {
    Outcome outcome = decode(signing(PayloadMode::kStreamingSigned), signed_example(), kBody.size(), "", piece);
    EXPECT_EQ(outcome.code, "accepted") << piece;
    EXPECT_EQ(outcome.data, kBody) << piece;
  }
  EXPECT_EQ(encode(signing(PayloadMode::kStreamingSigned), kBody, 65'536), signed_example());
}

TEST(AwsChunked, the_trailer_example_of_the_s3_reference_decodes) {
  for (size_t piece : {size_t{1}, size_t{100}, SIZE_MAX}) {
    Outcome outcome = decode(kTrailerSigning, trailer_example(), kBody.size(), "x-amz-checksum-crc32c", piece);
    EXPECT_EQ(outcome.code, "accepted");
    EXPECT_EQ(outcome.data, kBody);
    ASSERT_EQ(outcome.trailers.size(), 1u);
    EXPECT_EQ(outcome.trailers[0].name, "x-amz-checksum-crc32c");
    EXPECT_EQ(outcome.trailers[0].value, "sOO8/Q==");
  }
  // As the text of the reference prints it, with a line feed of its own and an empty line.
  EXPECT_EQ(decode(kTrailerSigning, trailer_example("\n\r\n"), kBody.size(), "x-amz-checksum-crc32c").code, "accepted");
}

TEST(AwsChunked, what_the_encoder_writes_the_decoder_reads) {
  base::SeededRandom random(7);
  for (PayloadMode mode :
       {PayloadMode::kStreamingSigned, PayloadMode::kStreamingSignedTrailer, PayloadMode::kStreamingUnsignedTrailer}) {
    for (int round = 0; round < 30; ++round) {
      std::string data(random.below(60'000), '\0');
      random.fill(as_writable_bytes(data));
      std::vector<OwnedHeader> trailers;
      if (mode != PayloadMode::kStreamingSigned && round % 2 == 0)
        trailers = {{"x-amz-checksum-crc32", "AAAAAA=="}, {"x-amz-checksum-sha1", "xyz="}};
      std::string names = trailers.empty() ? "" : "X-Amz-Checksum-Crc32, x-amz-checksum-sha1";
      std::string body = encode(signing(mode), data, 8192 + random.below(20'000), trailers);
      Outcome outcome = decode(signing(mode), body, data.size(), names, 1 + random.below(9000));
      ASSERT_EQ(outcome.code, "accepted");
      ASSERT_EQ(outcome.data, data);
      ASSERT_EQ(outcome.trailers.size(), trailers.size());
    }
  }
}

TEST(AwsChunked, an_empty_object_is_a_last_chunk_alone) {
  for (PayloadMode mode :
       {PayloadMode::kStreamingSigned, PayloadMode::kStreamingSignedTrailer, PayloadMode::kStreamingUnsignedTrailer})
    EXPECT_EQ(decode(signing(mode), encode(signing(mode), "", 1), 0, "").code, "accepted");
}

TEST(AwsChunked, every_flipped_byte_of_a_signed_body_is_found) {
  std::string data(9000, 'x');
  std::vector<OwnedHeader> trailers = {{"x-amz-checksum-crc32", "AAAAAA=="}};
  Verified verified = signing(PayloadMode::kStreamingSignedTrailer);
  std::string body = encode(verified, data, 8192, trailers);
  for (size_t i = 0; i < body.size(); i += i < 200 || i > body.size() - 400 ? 1 : 97) {
    std::string changed = body;
    changed[i] ^= 0x01;
    Outcome outcome = decode(verified, changed, data.size(), "x-amz-checksum-crc32");
    if (outcome.code == "accepted") {
      // Only what carries no meaning may change unnoticed.
      EXPECT_TRUE(body[i] == '\r' || body[i] == '\n') << "byte " << i;
      EXPECT_EQ(outcome.data, data);
    }
  }
}

TEST(AwsChunked, every_truncation_is_found) {
  std::string data(8300, 'x');
  for (PayloadMode mode :
       {PayloadMode::kStreamingSigned, PayloadMode::kStreamingSignedTrailer, PayloadMode::kStreamingUnsignedTrailer}) {
    std::vector<OwnedHeader> trailers;
    if (mode != PayloadMode::kStreamingSigned) trailers = {{"x-amz-checksum-crc32", "AAAAAA=="}};
    std::string names = trailers.empty() ? "" : "x-amz-checksum-crc32";
    std::string body = encode(signing(mode), data, 8192, trailers);
    // The empty line at the very end may be missing.
    for (size_t size = 0; size + 2 < body.size(); size += size < 200 || size + 400 > body.size() ? 1 : 97) {
      std::string code = decode(signing(mode), std::string_view(body).substr(0, size), data.size(), names).code;
      EXPECT_TRUE(code == "IncompleteBody" || code == "MalformedTrailerError") << size << " " << code;
    }
    EXPECT_EQ(decode(signing(mode), std::string_view(body).substr(0, body.size() - 2), data.size(), names).code,
              "accepted");
  }
}

TEST(AwsChunked, the_decoded_length_must_be_the_promised_one) {
  for (PayloadMode mode : {PayloadMode::kStreamingSigned, PayloadMode::kStreamingUnsignedTrailer}) {
    std::string body = encode(signing(mode), "hello", 100);
    EXPECT_EQ(decode(signing(mode), body, 4, "").code, "IncompleteBody");
    EXPECT_EQ(decode(signing(mode), body, 6, "").code, "IncompleteBody");
    EXPECT_EQ(decode(signing(mode), body, 5, "").code, "accepted");
  }
}

TEST(AwsChunked, hostile_framing_is_refused) {
  Verified verified = signing(PayloadMode::kStreamingUnsignedTrailer);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"ffffffffffffffff\r\n", "IncompleteBody"},
      {"10000000000000000\r\n", "InvalidRequest"},
      {"-1\r\n", "InvalidRequest"},
      {"\r\n", "InvalidRequest"},
      {"x\r\n", "InvalidRequest"},
      {" 5\r\nhello\r\n0\r\n\r\n", "InvalidRequest"},
      {"5;ext=1\r\nhello\r\n0\r\n\r\n", "InvalidRequest"},
      {"5;chunk-signature=" + std::string(64, '0') + "\r\nhello\r\n0\r\n\r\n", "InvalidRequest"},
      {"5\r\nhelloX\r\n0\r\n\r\n", "InvalidRequest"},
      {"5\r\nhello0\r\n\r\n", "InvalidRequest"},
      {std::string(1000, '0'), "InvalidRequest"},
      {"5\r\nhello\r\n0\r\n" + std::string(2000, 'a'), "InvalidRequest"},
      {"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AA==\r\n\r\n", "MalformedTrailerError"},
      {"5\r\nhello\r\n0\r\nno colon\r\n\r\n", "MalformedTrailerError"},
      {"5\r\nhello\r\n0\r\n\r\nmore", "InvalidRequest"},
      {"", "IncompleteBody"},
  };
  for (const auto& [body, code] : cases) EXPECT_EQ(decode(verified, body, 5, "").code, code) << body.substr(0, 60);
  std::string body = "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AA==\r\nx-amz-checksum-crc32:AA==\r\n\r\n";
  EXPECT_EQ(decode(verified, body, 5, "x-amz-checksum-crc32").code, "MalformedTrailerError");
  EXPECT_EQ(decode(verified, "5\r\nhello\r\n0\r\n\r\n", 5, "x-amz-checksum-crc32").code, "MalformedTrailerError");
  EXPECT_EQ(decode(verified, "5\r\nhello\r\n0\r\n\r\n", 5, "content-type").code, "InvalidRequest");
  EXPECT_EQ(decode(verified, "5\r\nhello\r\n0\r\n\r\n", 5,
                   "x-amz-a,x-amz-b,x-amz-c,x-amz-d,x-amz-e,x-amz-f,x-amz-g,x-amz-h,x-amz-i")
                .code,
            "InvalidRequest");
  EXPECT_EQ(decode(signing(PayloadMode::kStreamingSigned), "", 0, "x-amz-checksum-crc32").code, "InvalidRequest");
  EXPECT_EQ(decode(signing(PayloadMode::kStreamingSigned), "5\r\nhello\r\n0\r\n\r\n", 5, "").code, "InvalidRequest");
}

TEST(AwsChunked, small_chunks_are_refused_where_each_costs_a_signature) {
  std::string data(100, 'x');
  EXPECT_EQ(
      decode(signing(PayloadMode::kStreamingSigned), encode(signing(PayloadMode::kStreamingSigned), data, 40), 100, "")
          .code,
      "InvalidChunkSizeError");
  Verified unsigned_mode = signing(PayloadMode::kStreamingUnsignedTrailer);
  EXPECT_EQ(decode(unsigned_mode, encode(unsigned_mode, data, 1), 100, "").code, "accepted");
}

TEST(AwsChunked, a_chunk_moved_or_repeated_breaks_the_chain) {
  Verified verified = signing(PayloadMode::kStreamingSigned);
  std::string data = std::string(8192, 'a') + std::string(8192, 'b');
  std::string body = encode(verified, data, 8192);
  size_t chunk = body.find("\r\n2000;") + 2;
  std::string swapped = body.substr(chunk, chunk) + body.substr(0, chunk) + body.substr(2 * chunk);
  EXPECT_EQ(decode(verified, swapped, data.size(), "").code, "SignatureDoesNotMatch");
  Verified other = signing(PayloadMode::kStreamingSigned, std::string(64, '0'));
  EXPECT_EQ(decode(other, body, data.size(), "").code, "SignatureDoesNotMatch");
}

}  // namespace
}  // namespace polis::object
