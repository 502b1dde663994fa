#include "kernel/base/compression.h"

#include <algorithm>
#include <limits>
#include <lz4frame.h>
#include <memory>
#include <snappy-c.h>
#include <string>
#include <zlib.h>
#include <zstd.h>

namespace polis::base {
namespace {

// Room is taken in steps of this size, so that a small packet that promises much costs little.
constexpr size_t kStepBytes = 64 << 10;
// zlib's: windowBits 15, and 16 more for the gzip header.
constexpr int kGzipWindow = 15 + 16;

Result<void> damaged(const char* format) {
  return fail(Code::kCorrupt, std::string("the ") + format + " data is damaged or cut off");
}
Result<void> too_large(size_t limit) {
  return fail(Code::kTooLarge, "the compressed data becomes larger than " + std::to_string(limit) + " bytes");
}

// Makes room for the next step; empty at the limit.
MutableBytes room(Bytes& out, size_t begin, size_t size_bytes_max) {
  const size_t used = out.size() - begin;
  const size_t step = std::min(std::max(kStepBytes, used), size_bytes_max - used);
  out.resize(out.size() + step);
  return MutableBytes(out).last(step);
}

template <class T>
T* bytes_of(BytesView view) {
  return reinterpret_cast<T*>(const_cast<std::byte*>(view.data()));
}

void gzip(BytesView plain, Bytes& out) {
  z_stream stream{};
  POLIS_ASSERT(deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  POLIS_ASSERT(plain.size() <= std::numeric_limits<uInt>::max() / 2);
  const size_t begin = out.size();
  out.resize(begin + deflateBound(&stream, static_cast<uLong>(plain.size())));
  stream.next_in = bytes_of<Bytef>(plain);
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data() + begin);
  stream.avail_out = static_cast<uInt>(out.size() - begin);
  POLIS_ASSERT(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
}

Result<void> gunzip(BytesView packed, size_t size_bytes_max, Bytes& out) {
  if (packed.size() > std::numeric_limits<uInt>::max()) return too_large(size_bytes_max);
  z_stream stream{};
  POLIS_ASSERT(inflateInit2(&stream, kGzipWindow) == Z_OK);
  const std::unique_ptr<z_stream, decltype(&inflateEnd)> end(&stream, &inflateEnd);
  stream.next_in = bytes_of<Bytef>(packed);
  stream.avail_in = static_cast<uInt>(packed.size());
  const size_t begin = out.size();
  while (true) {
    const MutableBytes into = room(out, begin, size_bytes_max);
    std::byte probe{};  // at the limit: is there really more?
    stream.next_out = reinterpret_cast<Bytef*>(into.empty() ? &probe : into.data());
    stream.avail_out = into.empty() ? 1 : static_cast<uInt>(into.size());
    const uInt before = stream.avail_out;
    const int status = inflate(&stream, Z_NO_FLUSH);
    if (into.empty() && stream.avail_out < before) return too_large(size_bytes_max);
    if (!into.empty()) out.resize(out.size() - stream.avail_out);
    if (status == Z_STREAM_END) {
      if (stream.avail_in == 0) return {};
      if (inflateReset(&stream) != Z_OK) return damaged("gzip");  // RFC 1952 §2.2: members may follow one another
      continue;
    }
    if (status != Z_OK || (stream.avail_in == 0 && stream.avail_out > 0)) return damaged("gzip");
  }
}

void lz4(BytesView plain, Bytes& out) {
  LZ4F_preferences_t preferences = LZ4F_INIT_PREFERENCES;
  preferences.frameInfo.blockMode = LZ4F_blockIndependent;
  preferences.frameInfo.blockSizeID = LZ4F_max64KB;
  const size_t begin = out.size();
  out.resize(begin + LZ4F_compressFrameBound(plain.size(), &preferences));
  const size_t size =
      LZ4F_compressFrame(out.data() + begin, out.size() - begin, plain.data(), plain.size(), &preferences);
  POLIS_ASSERT(!LZ4F_isError(size));
  out.resize(begin + size);
}

Result<void> unlz4(BytesView packed, size_t size_bytes_max, Bytes& out) {
  LZ4F_dctx* raw = nullptr;
  POLIS_ASSERT(!LZ4F_isError(LZ4F_createDecompressionContext(&raw, LZ4F_VERSION)));
  const std::unique_ptr<LZ4F_dctx, decltype(&LZ4F_freeDecompressionContext)> context(raw,
                                                                                     &LZ4F_freeDecompressionContext);
  const size_t begin = out.size();
  size_t hint = 1;
  while (true) {
    const MutableBytes into = room(out, begin, size_bytes_max);
    std::byte probe{};
    size_t produced = into.empty() ? 1 : into.size(), consumed = packed.size();
    hint = LZ4F_decompress(context.get(), into.empty() ? &probe : into.data(), &produced, packed.data(), &consumed,
                           nullptr);
    if (LZ4F_isError(hint)) return damaged("lz4");
    if (into.empty() && produced > 0) return too_large(size_bytes_max);
    if (!into.empty()) out.resize(out.size() - into.size() + produced);
    packed = packed.subspan(consumed);
    if (hint == 0) return packed.empty() ? Result<void>{} : damaged("lz4");
    if (consumed == 0 && produced == 0) return damaged("lz4");  // it wants more than there is
  }
}

void zstd(BytesView plain, Bytes& out) {
  const size_t begin = out.size();
  out.resize(begin + ZSTD_compressBound(plain.size()));
  const size_t size =
      ZSTD_compress(out.data() + begin, out.size() - begin, plain.data(), plain.size(), ZSTD_CLEVEL_DEFAULT);
  POLIS_ASSERT(!ZSTD_isError(size));
  out.resize(begin + size);
}

Result<void> unzstd(BytesView packed, size_t size_bytes_max, Bytes& out) {
  const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), &ZSTD_freeDCtx);
  POLIS_ASSERT(context);
  // 2^27: the window that libzstd itself accepts by default, so memory stays below 128 MiB whatever a frame asks for.
  const size_t begin = out.size();
  ZSTD_inBuffer input{packed.data(), packed.size(), 0};
  while (true) {
    const MutableBytes into = room(out, begin, size_bytes_max);
    std::byte probe{};
    ZSTD_outBuffer output{into.empty() ? &probe : into.data(), into.empty() ? 1 : into.size(), 0};
    const size_t consumed_before = input.pos;
    const size_t hint = ZSTD_decompressStream(context.get(), &output, &input);
    if (ZSTD_isError(hint)) return damaged("zstd");
    if (into.empty() && output.pos > 0) return too_large(size_bytes_max);
    if (!into.empty()) out.resize(out.size() - into.size() + output.pos);
    if (hint == 0 && input.pos == input.size) return {};
    if (output.pos == 0 && input.pos == consumed_before && hint != 0) return damaged("zstd");
  }
}

void snappy(BytesView plain, Bytes& out) {
  const size_t begin = out.size();
  size_t size = snappy_max_compressed_length(plain.size());
  out.resize(begin + size);
  POLIS_ASSERT(snappy_compress(bytes_of<const char>(plain), plain.size(), reinterpret_cast<char*>(out.data() + begin),
                               &size) == SNAPPY_OK);
  out.resize(begin + size);
}

Result<void> unsnappy(BytesView packed, size_t size_bytes_max, Bytes& out) {
  const char* bytes = bytes_of<const char>(packed);
  size_t size = 0;
  if (snappy_uncompressed_length(bytes, packed.size(), &size) != SNAPPY_OK) return damaged("snappy");
  if (size > size_bytes_max) return too_large(size_bytes_max);
  // Checked before the memory is taken: the length in front is only a claim.
  if (snappy_validate_compressed_buffer(bytes, packed.size()) != SNAPPY_OK) return damaged("snappy");
  const size_t begin = out.size();
  out.resize(begin + size);
  if (snappy_uncompress(bytes, packed.size(), reinterpret_cast<char*>(out.data() + begin), &size) != SNAPPY_OK)
    return damaged("snappy");
  return {};
}

}  // namespace

void compress(CompressionFormat format, BytesView plain, Bytes& out) {
  switch (format) {
    case CompressionFormat::kGzip:
      return gzip(plain, out);
    case CompressionFormat::kSnappy:
      return snappy(plain, out);
    case CompressionFormat::kLz4:
      return lz4(plain, out);
    case CompressionFormat::kZstd:
      return zstd(plain, out);
  }
}

Result<void> decompress(CompressionFormat format, BytesView packed, size_t size_bytes_max, Bytes& out) {
  switch (format) {
    case CompressionFormat::kGzip:
      return gunzip(packed, size_bytes_max, out);
    case CompressionFormat::kSnappy:
      return unsnappy(packed, size_bytes_max, out);
    case CompressionFormat::kLz4:
      return unlz4(packed, size_bytes_max, out);
    case CompressionFormat::kZstd:
      return unzstd(packed, size_bytes_max, out);
  }
  return fail(Code::kUnsupported, "an unknown compression");
}

}  // namespace polis::base
