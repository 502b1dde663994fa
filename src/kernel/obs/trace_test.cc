#include "kernel/obs/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

namespace polis::obs {
namespace {

using base::ManualClock;
using base::SeededRandom;
using std::chrono::milliseconds;

constexpr const char* kClient = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(TraceContext, the_example_of_the_standard_comes_back) {
  TraceContext context = TraceContext::parse(kClient).value();
  EXPECT_EQ(context.trace.text(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(context.span.text(), "b7ad6b7169203331");
  EXPECT_TRUE(context.sampled);
  EXPECT_EQ(context.traceparent(), kClient);
  EXPECT_EQ(TraceContext().traceparent(), "");
}

TEST(TraceContext, later_versions_are_read_by_their_first_parts) {
  EXPECT_TRUE(TraceContext::parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-holds"));
  EXPECT_FALSE(TraceContext::parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what"));
}

TEST(TraceContext, malformed_ones_are_refused) {
  for (const char* text : {"", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
                           "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                           "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                           "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                           "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
                           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
                           "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
                           "0x-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
    EXPECT_FALSE(TraceContext::parse(text)) << text;
  EXPECT_FALSE(TraceId::parse("0af7"));
}

TEST(Tracer, a_clients_trace_goes_on_with_nested_spans_in_order) {
  ManualClock clock;
  SeededRandom random(1);
  Tracer tracer(clock, random, {});
  TraceContext client = TraceContext::parse(kClient).value();
  {
    Span request = tracer.start_request(kClient, "PUT object");
    clock.advance(milliseconds(1));
    Span blob = tracer.start(request.context(), "blob put");
    blob.attribute("size_bytes", 64);
    clock.advance(milliseconds(5));
    blob.failed(Error(Code::kNoSpace, "disk full"));
    blob.end();
    clock.advance(milliseconds(1));
  }
  std::vector<SpanRecord> spans = tracer.find(client.trace);
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].name, "PUT object");
  EXPECT_EQ(spans[0].parent, client.span);
  EXPECT_EQ(spans[0].duration, milliseconds(7));
  EXPECT_EQ(spans[1].parent, spans[0].span);
  EXPECT_EQ(spans[1].duration, milliseconds(5));
  EXPECT_TRUE(spans[1].failed);
  EXPECT_THAT(spans[1].attributes,
              testing::ElementsAre(testing::Pair("size_bytes", "64"), testing::Pair("error", "disk full")));
  EXPECT_EQ(tracer.recent(10).size(), 1u);
  EXPECT_EQ(tracer.recent(10)[0].name, "PUT object");
}

TEST(Tracer, without_a_header_or_with_a_broken_one_a_new_trace_begins) {
  ManualClock clock;
  SeededRandom random(2);
  Tracer tracer(clock, random, {});
  EXPECT_TRUE(tracer.start_request("", "a").context().trace.valid());
  EXPECT_TRUE(tracer.start_request("garbage", "b").recording());
  EXPECT_EQ(tracer.recent(10).size(), 2u);
}

TEST(Tracer, what_is_not_sampled_is_not_recorded_but_keeps_its_trace) {
  ManualClock clock;
  SeededRandom random(3);
  Tracer tracer(clock, random, {.sample_one_in = 0});
  Span span = tracer.start_request("", "a");
  EXPECT_FALSE(span.recording());
  EXPECT_TRUE(TraceContext::parse(span.context().traceparent()));
  Span child = tracer.start(span.context(), "b");
  child.attribute("x", 1);
  EXPECT_EQ(child.context().trace, span.context().trace);
  EXPECT_TRUE(tracer.start_request(kClient, "asked for").recording());
  EXPECT_FALSE(tracer.start({}, "no trace").recording());
}

TEST(Tracer, memory_is_bounded_by_spans_and_by_bytes) {
  ManualClock clock;
  SeededRandom random(4);
  Tracer tracer(clock, random, {.spans_max = 10, .bytes_max = 100'000});
  for (int i = 0; i < 25; ++i) tracer.start_request("", "span " + std::to_string(i)).end();
  EXPECT_EQ(tracer.recent(100).size(), 10u);
  EXPECT_EQ(tracer.recent(1)[0].name, "span 24");
  EXPECT_EQ(tracer.spans_evicted(), 15u);

  Tracer small(clock, random, {.spans_max = 1000, .bytes_max = 5000});
  std::string huge(100'000, 'x');
  for (int i = 0; i < 100; ++i) {
    Span span = small.start_request("", huge);
    for (int a = 0; a < 100; ++a) span.attribute(huge, huge);
  }
  EXPECT_LT(small.recent(1000).size(), 3u);
}

TEST(Tracer, a_moved_span_is_recorded_once) {
  ManualClock clock;
  SeededRandom random(5);
  Tracer tracer(clock, random, {});
  {
    Span span = tracer.start_request("", "one");
    Span moved = std::move(span);
    span = tracer.start_request("", "two");
    moved = Span();
  }
  EXPECT_EQ(tracer.recent(10).size(), 2u);
}

TEST(Tracer, spans_end_on_any_thread) {
  base::SystemClock clock;
  base::SystemRandom random;
  Tracer tracer(clock, random, {.spans_max = 100'000});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) tracer.start(tracer.start_request("", "root").context(), "child").end();
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(tracer.recent(10'000).size(), 2000u);
}

TEST(Tracer, the_console_reads_json) {
  ManualClock clock(WallTime(std::chrono::microseconds(1'000'002)));
  SeededRandom random(6);
  Tracer tracer(clock, random, {});
  {
    Span span = tracer.start_request(kClient, "a \"b\"");
    span.attribute("k", "v");
    clock.advance(milliseconds(2));
  }
  std::vector<SpanRecord> spans = tracer.recent(1);
  EXPECT_EQ(to_json(spans),
            R"([{"trace":"0af7651916cd43dd8448eb211c80319c","span":")" + spans[0].span.text() +
                R"(","parent":"b7ad6b7169203331","name":"a \"b\"","begin_us":1000002,"duration_us":2000,)"
                R"("failed":false,"attributes":{"k":"v"}}])");
  EXPECT_EQ(to_json({}), "[]");
}

}  // namespace
}  // namespace polis::obs
