// Puts the file that the build gathered (DESCRIPTOR_FILE) into read-only data. The assembler does it: no tool beyond
// the compiler, and the same with gcc, clang and the sanitizers.
__asm__(
    ".pushsection .rodata\n"
    ".global fairlead_descriptor_data_begin\n"
    ".global fairlead_descriptor_data_end\n"
    ".balign 16\n"
    "fairlead_descriptor_data_begin:\n"
    ".incbin \"" DESCRIPTOR_FILE
    "\"\n"
    "fairlead_descriptor_data_end:\n"
    ".byte 0\n"
    ".popsection\n");
