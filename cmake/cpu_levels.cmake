# The CPU kernels. Common code is compiled for the base of the architecture; each level is one source with flags of its
# own, and what it may do is asked of the processor at run time.
add_library(fasthash_cpu STATIC
  csrc/cpu/dispatch.cpp
  csrc/cpu/threads.cpp
  csrc/cpu/blocks.cpp
  csrc/cpu/pack.cpp
  csrc/cpu/distance.cpp
  csrc/cpu/topk.cpp
  csrc/cpu/distinct.cpp
  csrc/cpu/multi_index.cpp
  csrc/cpu/range.cpp
  csrc/cpu/range_padded.cpp
  csrc/cpu/slices.cpp
  csrc/cpu/labels.cpp
  csrc/cpu/count.cpp
  csrc/cpu/average_precision.cpp
  csrc/cpu/score.cpp
  csrc/cpu/level_scalar.cpp)
target_include_directories(fasthash_cpu PUBLIC csrc/include PRIVATE csrc/cpu)
# Without contraction: a product and a sum rounded at once, where a machine can, would make float results differ.
target_compile_options(fasthash_cpu PRIVATE -Wall -Wextra -O3 -ffp-contract=off)
target_link_libraries(fasthash_cpu PUBLIC Threads::Threads)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_sources(fasthash_cpu PRIVATE csrc/cpu/level_avx2.cpp csrc/cpu/level_avx512.cpp)
  target_compile_definitions(fasthash_cpu PRIVATE FASTHASH_X86)
  set_source_files_properties(csrc/cpu/level_avx2.cpp PROPERTIES COMPILE_OPTIONS "-mavx2;-mpopcnt;-mf16c")
  # GCC 12 takes the undefined registers of its own headers for a mistake
  set_source_files_properties(csrc/cpu/level_avx512.cpp PROPERTIES
    COMPILE_OPTIONS "-mavx2;-mpopcnt;-mavx512f;-mavx512bw;-mavx512vl;-mavx512vpopcntdq;-mprefer-vector-width=512;$<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized;-Wno-uninitialized>")
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64|ARM64")
  target_sources(fasthash_cpu PRIVATE csrc/cpu/level_neon.cpp)
  target_compile_definitions(fasthash_cpu PRIVATE FASTHASH_NEON)
endif()
