# cmake -D program=... -D expected=... -P run_example.cmake
# Runs an example; fails on its exit code, or when the file `expected` exists and says something else.
execute_process(COMMAND "${program}" RESULT_VARIABLE code OUTPUT_VARIABLE output ECHO_OUTPUT_VARIABLE)
if(NOT code EQUAL 0)
  message(FATAL_ERROR "${program} ended with ${code}")
endif()
if(EXISTS "${expected}")
  file(READ "${expected}" wanted)
  if(NOT output STREQUAL wanted)
    message(FATAL_ERROR "${program} should have printed:\n${wanted}")
  endif()
endif()
