// Which encoding a client's wishes lead to.
#include <catch2/catch.hpp>

#include "dataplane/filters/http/compressor/config.h"

using namespace fairlead::filters::compressor;

namespace {

std::string chosen(std::string_view accept, std::vector<std::string_view> encodings = {"gzip", "br"}, std::string_view preferred = "") {
  std::vector<Offer> offers;
  for (const auto encoding : encodings) offers.push_back({encoding});
  const Choice choice = choose(accept, offers.data(), offers.size(), preferred);
  switch (choice.kind) {
    case Choice::Kind::Identity: return "identity";
    case Choice::Kind::Nothing: return "nothing";
    case Choice::Kind::Wildcard: return "*" + std::string(choice.encoding);
    case Choice::Kind::Encoding: break;
  }
  return std::string(choice.encoding);
}

}  // namespace

TEST_CASE("the highest q wins, the client's order decides among equals") {
  CHECK(chosen("gzip, br") == "gzip");
  CHECK(chosen("br, gzip") == "br");
  CHECK(chosen("gzip;q=0.5, br;q=0.9") == "br");
  CHECK(chosen(" gzip ; q=1 ,br;q=0.1") == "gzip");
  CHECK(chosen("deflate, gzip;q=0.3, br;q=0.2") == "gzip");
}

TEST_CASE("a preferred encoding wins among equals") {
  CHECK(chosen("gzip, br", {"gzip", "br"}, "br") == "br");
  CHECK(chosen("gzip;q=0.9, br;q=0.8", {"gzip", "br"}, "br") == "gzip");
}

TEST_CASE("identity, wildcards and refusals") {
  CHECK(chosen("identity;q=1, gzip;q=0.5") == "identity");
  CHECK(chosen("*") == "*gzip");
  CHECK(chosen("gzip;q=0, *") == "*br");
  CHECK(chosen("gzip;q=0.0, br;q=0, *") == "nothing");
  CHECK(chosen("deflate") == "nothing");
  CHECK(chosen("") == "nothing");
  CHECK(chosen("GZIP") == "nothing");  // Envoy 1.40: names are compared as they are
  CHECK(chosen("gzip;q=junk") == "nothing");
  CHECK(chosen("gzip;q=2") == "gzip");
  CHECK(chosen(",,;,gzip;x=1") == "gzip");
}
