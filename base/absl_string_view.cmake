# Debian builds abseil with a string_view of its own (ABSL_OPTION_USE_STD_STRING_VIEW 0), with no way to and from std::string_view.
# This writes copies of three of its headers into the build tree, with those conversions added, and puts them first in the include path.
# Only inline members are added: layout and symbols stay those of the installed library. An abseil that already uses std's is left alone.
find_path(ABSL_INCLUDE_DIR absl/strings/string_view.h REQUIRED)
file(READ ${ABSL_INCLUDE_DIR}/absl/base/options.h options)
if(options MATCHES "define ABSL_OPTION_USE_STD_STRING_VIEW 0")
  set(out ${CMAKE_BINARY_DIR}/absl_string_view)

  file(READ ${ABSL_INCLUDE_DIR}/absl/strings/string_view.h text)
  string(REPLACE "#include <string>\n" "#include <string>\n#include <string_view>\n#include <type_traits>\n" text "${text}")
  string(REPLACE "  // Explicit conversion operators\n"
    "  constexpr string_view(std::string_view s) noexcept : ptr_(s.data()), length_(s.size()) {}  // NOLINT(runtime/explicit)\n  constexpr operator std::string_view() const noexcept { return {ptr_, length_}; }  // NOLINT(runtime/explicit)\n\n  // Explicit conversion operators\n"
    text "${text}")
  # templates, so that nothing else converts to std::string_view for their sake
  set(only "template <class S, std::enable_if_t<std::is_same_v<S, std::string_view>, int> = 0> constexpr bool")
  foreach(types "string_view x, S y" "S x, string_view y")
    string(APPEND mixed "${only} operator==(${types}) noexcept { return string_view(x) == string_view(y); }\n")
    string(APPEND mixed "${only} operator!=(${types}) noexcept { return !(string_view(x) == string_view(y)); }\n")
    string(APPEND mixed "${only} operator<(${types}) noexcept { return string_view(x) < string_view(y); }\n")
  endforeach()
  string(REPLACE "// IO Insertion Operator\n" "${mixed}\n// IO Insertion Operator\n" text "${text}")
  file(CONFIGURE OUTPUT ${out}/absl/strings/string_view.h CONTENT "${text}" @ONLY)

  file(READ ${ABSL_INCLUDE_DIR}/absl/strings/str_cat.h text)
  string(REPLACE "  AlphaNum(absl::string_view pc) : piece_(pc) {}"
    "  AlphaNum(std::string_view s) : piece_(s.data(), s.size()) {}  // NOLINT(runtime/explicit)\n  AlphaNum(absl::string_view pc) : piece_(pc) {}" text "${text}")
  file(CONFIGURE OUTPUT ${out}/absl/strings/str_cat.h CONTENT "${text}" @ONLY)

  file(READ ${ABSL_INCLUDE_DIR}/absl/strings/internal/str_split_internal.h text)
  string(REPLACE "  ConvertibleToStringView(absl::string_view s) "
    "  ConvertibleToStringView(std::string_view s) : value_(s) {}  // NOLINT(runtime/explicit)\n  ConvertibleToStringView(absl::string_view s) " text "${text}")
  file(CONFIGURE OUTPUT ${out}/absl/strings/internal/str_split_internal.h CONTENT "${text}" @ONLY)

  include_directories(BEFORE ${out})
endif()
