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
    if(NOT POLIS_MODE STREQUAL "release")
      target_sources(${NAME}_test PRIVATE ${CMAKE_SOURCE_DIR}/cmake/sanitizer_options.cc)
    endif()
    polis_precompile(${NAME}_test)
    # One run of CTest covers all modes, so the mode is part of the name: unit.NAME, asan.NAME, tsan.NAME.
    if(NOT POLIS_MODE STREQUAL "tsan" OR NAME IN_LIST POLIS_TSAN_LIBRARIES)
      add_test(NAME ${POLIS_UNIT_LABEL}.${NAME} COMMAND ${NAME}_test --gtest_brief=1)
      set_tests_properties(${POLIS_UNIT_LABEL}.${NAME} PROPERTIES LABELS ${POLIS_UNIT_LABEL} TIMEOUT 900
        ENVIRONMENT "${POLIS_TEST_ENVIRONMENT}")
      set_property(GLOBAL APPEND PROPERTY POLIS_TESTS ${NAME}_test)
    endif()
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
      # Short form: POLIS_FUZZ_SECONDS (default 3) a fuzzer; `./test full` raises it. NAME_fuzz.seeds/ holds inputs to start from.
      add_test(NAME fuzz.${NAME}.${fuzzer} COMMAND ${CMAKE_SOURCE_DIR}/tools/fuzz $<TARGET_FILE:${NAME}_${fuzzer}>
        ${CMAKE_CURRENT_SOURCE_DIR}/${fuzzer}.seeds)
      set_tests_properties(fuzz.${NAME}.${fuzzer} PROPERTIES LABELS "fuzz" TIMEOUT 900 ENVIRONMENT "${POLIS_TEST_ENVIRONMENT}")
      set_property(GLOBAL APPEND PROPERTY POLIS_TESTS ${NAME}_${fuzzer})
    endforeach()
  endif()
endfunction()

# Which tests run in which mode, and with what environment. ThreadSanitizer only where threads share memory: shards, the log's
# and the store's committers, replicas, memory budgets, metrics without locks.
set(POLIS_TSAN_LIBRARIES polis_kernel_base polis_kernel_obs polis_kernel_io polis_kernel_log polis_kernel_machine polis_kernel_store
  polis_systems_exchange_bus)
set(POLIS_UNIT_LABEL unit)
set(POLIS_TEST_ENVIRONMENT "")
if(POLIS_MODE STREQUAL "debug")
  set(POLIS_UNIT_LABEL asan)
  # Fuzzers have no sanitizer_options.cc; tests get the same from there.
  set(POLIS_TEST_ENVIRONMENT "ASAN_OPTIONS=detect_odr_violation=0" "UBSAN_OPTIONS=print_stacktrace=1"
    "ASAN_SYMBOLIZER_PATH=/usr/bin/llvm-symbolizer-19")
elseif(POLIS_MODE STREQUAL "tsan")
  set(POLIS_UNIT_LABEL tsan)
  set(POLIS_TEST_ENVIRONMENT "TSAN_OPTIONS=halt_on_error=1" "TSAN_SYMBOLIZER_PATH=/usr/bin/llvm-symbolizer-19")
endif()

# `tests_of_mode`: everything that this mode's tests run. Last, when every folder has declared its own.
function(polis_collect_tests)
  get_property(targets GLOBAL PROPERTY POLIS_TESTS)
  add_custom_target(tests_of_mode DEPENDS ${targets})
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
