# One INTERFACE target that every folder links.
add_library(ks_flags INTERFACE)
target_include_directories(ks_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(ks_flags INTERFACE _GNU_SOURCE KS_VERSION="${PROJECT_VERSION}")
target_compile_options(ks_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
  -Wpointer-arith -Wcast-qual -Wcast-align -Wwrite-strings -Wformat=2 -Wundef -Wvla -Wswitch-enum
  -Wconversion -Wno-sign-conversion -Wnull-dereference -fno-omit-frame-pointer
  $<$<BOOL:${KS_WERROR}>:-Werror>
  $<$<C_COMPILER_ID:GNU>:-Wlogical-op -Wduplicated-cond -Wduplicated-branches>
  $<$<C_COMPILER_ID:Clang>:-Wthread-safety -Wcomma -Wassign-enum>)

if(KS_SANITIZE STREQUAL "address")
  set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(KS_SANITIZE STREQUAL "thread")
  set(sanitizers -fsanitize=thread)
elseif(KS_SANITIZE STREQUAL "")
  target_compile_options(ks_flags INTERFACE
    $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2> -fstack-protector-strong)
  target_link_options(ks_flags INTERFACE -Wl,-z,relro,-z,now)
else()
  message(FATAL_ERROR "KS_SANITIZE is '${KS_SANITIZE}'; use address, thread or nothing")
endif()
target_compile_options(ks_flags INTERFACE ${sanitizers})
target_link_options(ks_flags INTERFACE ${sanitizers})
if(KS_FUZZ)
  # Coverage feedback in every library; libFuzzer's main only in the fuzz targets.
  target_compile_options(ks_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(ks_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(KS_COVERAGE)
  target_compile_options(ks_flags INTERFACE -fprofile-instr-generate -fcoverage-mapping)
  target_link_options(ks_flags INTERFACE -fprofile-instr-generate)
endif()

set(CMAKE_POSITION_INDEPENDENT_CODE ON)
