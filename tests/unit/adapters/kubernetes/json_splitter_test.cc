// JsonSplitter: cut anywhere, the same values come out; what is no list is refused.
#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "adapters/kubernetes/json_splitter.h"

namespace fairlead::adapters::kubernetes::json_splitter_test {
namespace {

struct Split {
  std::vector<std::string> values;
  std::string around, error;
  bool whole = false;
};

Split split(JsonSplitter::Mode mode, const std::vector<std::string_view>& pieces, JsonSplitter::Limits limits = {}) {
  Split out;
  JsonSplitter splitter(mode, [&](std::string_view text) { out.values.emplace_back(text); return true; }, limits);
  for (std::string_view piece : pieces) {
    if (absl::Status s = splitter.feed(piece); !s.ok()) {
      out.error = std::string(s.message());
      return out;
    }
  }
  out.around = splitter.around();
  out.whole = splitter.whole();
  return out;
}

const std::string kList = R"({"kind":"List","metadata":{"items":[{"no":1}],"resourceVersion":"7"},"items":[{"a":"}\"]\\"}, {"b":[{},[]]},{}],"x":{"items":[1]}})";
const std::vector<std::string> kItems{R"({"a":"}\"]\\"})", R"({"b":[{},[]]})", "{}"};

TEST_CASE("the items of a list come out one by one, wherever its text is cut") {
  for (size_t cut = 0; cut <= kList.size(); ++cut) {
    INFO("cut at " << cut);
    const std::string_view text(kList);
    const Split got = split(JsonSplitter::Mode::kItems, {text.substr(0, cut), text.substr(cut)});
    CHECK(got.error.empty());
    CHECK(got.values == kItems);
    CHECK(got.whole);
    CHECK(got.around == R"({"kind":"List","metadata":{"items":[{"no":1}],"resourceVersion":"7"},"items":[],"x":{"items":[1]}})");
  }
  std::vector<std::string_view> bytes;
  for (size_t i = 0; i < kList.size(); ++i) bytes.push_back(std::string_view(kList).substr(i, 1));
  CHECK(split(JsonSplitter::Mode::kItems, bytes).values == kItems);
}

TEST_CASE("values of a stream come out one by one, wherever it is cut") {
  const std::string text = "{\"type\":\"ADDED\",\"object\":{\"s\":\"\\\\\"}}\n{\"t\":\"\\\"{\"}\n{}\n";
  const std::vector<std::string> wanted{"{\"type\":\"ADDED\",\"object\":{\"s\":\"\\\\\"}}", "{\"t\":\"\\\"{\"}", "{}"};
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    INFO("cut at " << cut);
    const Split got = split(JsonSplitter::Mode::kValues, {std::string_view(text).substr(0, cut), std::string_view(text).substr(cut)});
    CHECK(got.values == wanted);
    CHECK(got.whole);
  }
}

TEST_CASE("a list that ends early is not whole") {
  for (size_t cut = 0; cut < kList.size(); ++cut) CHECK_FALSE(split(JsonSplitter::Mode::kItems, {std::string_view(kList).substr(0, cut)}).whole);
  CHECK_FALSE(split(JsonSplitter::Mode::kValues, {"{\"a\":"}).whole);
}

TEST_CASE("a key that only looks like items is none") {
  CHECK(split(JsonSplitter::Mode::kItems, {R"({"i\tems":[{}],"x":"items","y":[{}]})"}).values.empty());
}

TEST_CASE("what is no list of objects is refused") {
  CHECK(split(JsonSplitter::Mode::kItems, {R"({"items":[1]})"}).error == "expected an object, got \"1\"");
  CHECK(split(JsonSplitter::Mode::kItems, {R"({"items":["a"]})"}).error == "expected an object, got \"\"\"");
  CHECK_FALSE(split(JsonSplitter::Mode::kItems, {R"({"items":[]}})"}).error.empty());
  CHECK_FALSE(split(JsonSplitter::Mode::kItems, {R"({"items":[]}{})"}).error.empty());
  CHECK(split(JsonSplitter::Mode::kValues, {"<html>"}).error == "expected an object, got \"<html>\"");
  CHECK(split(JsonSplitter::Mode::kItems, {std::string(2000, '[')}).error == "nested too deep");
}

TEST_CASE("memory is bounded: one value, and what stands around the items") {
  JsonSplitter::Limits limits{100, 100};
  CHECK(split(JsonSplitter::Mode::kItems, {"{\"items\":[{\"a\":\"", std::string(200, 'x')}, limits).error == "an object of more than 100 bytes");
  CHECK(split(JsonSplitter::Mode::kItems, {"{\"a\":\"", std::string(200, 'x')}, limits).error == "more than 100 bytes around the items of a list");
  std::vector<std::string_view> many{"{\"items\":["};
  for (int i = 0; i < 1000; ++i) many.push_back("{\"a\":1},");
  CHECK(split(JsonSplitter::Mode::kItems, many, limits).values.size() == 1000);
}

TEST_CASE("a reader may end it") {
  int n = 0;
  JsonSplitter splitter(JsonSplitter::Mode::kValues, [&](std::string_view) { return ++n < 2; });
  CHECK(absl::IsCancelled(splitter.feed("{}{}{}")));
  CHECK(n == 2);
  CHECK(absl::IsCancelled(splitter.feed("{}")));
}

}  // namespace
}  // namespace fairlead::adapters::kubernetes::json_splitter_test
