# polis_library(NAME [DEPENDS target...] [LINKS outside-library...])
#
# Declares the library of one folder. Targets mirror folders (src/kernel/io is polis_kernel_io), and a folder sees only what
# DEPENDS names. By file name: *_test.cc become one test program, *_fuzz.cc one fuzzer each (debug only), *_bench.cc one
# microbenchmark program, all other *.cc the library.
function(polis_library NAME)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LINKS;TEST_DEPENDS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  set(tests ${sources})
  set(fuzzers ${sources})
  set(benches ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cc$")
  list(FILTER benches INCLUDE REGEX "_bench\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_(test|fuzz|bench)\\.cc$")

  if(sources)
    add_library(${NAME} STATIC ${sources})
    target_include_directories(${NAME} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(${NAME} PUBLIC ${ARG_DEPENDS} PRIVATE ${ARG_LINKS} Threads::Threads)
    polis_precompile(${NAME})
  else()
    add_library(${NAME} INTERFACE)
    target_include_directories(${NAME} INTERFACE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(${NAME} INTERFACE ${ARG_DEPENDS} ${ARG_LINKS})
  endif()

  if(tests)
    add_executable(${NAME}_test ${tests})
    target_link_libraries(${NAME}_test PRIVATE ${NAME} ${ARG_TEST_DEPENDS} ${ARG_LINKS} GTest::gtest GTest::gmock GTest::gtest_main)
    polis_precompile(${NAME}_test)
    add_test(NAME unit.${NAME} COMMAND ${NAME}_test --gtest_brief=1)
    set_tests_properties(unit.${NAME} PROPERTIES LABELS "unit" TIMEOUT 300)
  endif()

  if(benches AND POLIS_MODE STREQUAL "release")
    add_executable(${NAME}_bench ${benches})
    target_link_libraries(${NAME}_bench PRIVATE ${NAME} ${ARG_TEST_DEPENDS} ${ARG_LINKS} benchmark::benchmark benchmark::benchmark_main)
    polis_precompile(${NAME}_bench)
  endif()

  if(POLIS_MODE STREQUAL "debug")
    foreach(file ${fuzzers})
      get_filename_component(fuzzer ${file} NAME_WE)
      add_executable(${NAME}_${fuzzer} ${file})
      target_compile_options(${NAME}_${fuzzer} PRIVATE -O1 -fsanitize=fuzzer)
      target_link_options(${NAME}_${fuzzer} PRIVATE -fsanitize=fuzzer)
      target_link_libraries(${NAME}_${fuzzer} PRIVATE ${NAME} ${ARG_TEST_DEPENDS} ${ARG_LINKS})
      # Short form: POLIS_FUZZ_SECONDS (default 5) a fuzzer; `./test full` raises it.
      add_test(NAME fuzz.${NAME}.${fuzzer} COMMAND ${CMAKE_SOURCE_DIR}/tools/fuzz $<TARGET_FILE:${NAME}_${fuzzer}>)
      set_tests_properties(fuzz.${NAME}.${fuzzer} PROPERTIES LABELS "fuzz" TIMEOUT 900)
    endforeach()
  endif()
endfunction()

# The standard headers that nearly every unit includes, parsed once for the tree.
function(polis_precompile NAME)
  if(NOT TARGET polis_pch)
    file(WRITE ${CMAKE_BINARY_DIR}/pch.cc "")
    add_library(polis_pch STATIC ${CMAKE_BINARY_DIR}/pch.cc)
    target_precompile_headers(polis_pch PRIVATE
      <algorithm> <array> <atomic> <chrono> <coroutine> <cstdint> <cstring> <expected> <functional> <map> <memory> <mutex>
      <optional> <set> <span> <string> <string_view> <thread> <unordered_map> <utility> <variant> <vector>)
    target_link_libraries(polis_pch PRIVATE Threads::Threads)
  endif()
  target_precompile_headers(${NAME} REUSE_FROM polis_pch)
endfunction()
