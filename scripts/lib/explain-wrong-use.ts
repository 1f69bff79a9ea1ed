/** For `catch`: wrong options are told in a line; anything else is a defect, with its stack. */
export function explainWrongUse(script: string): (error: NodeJS.ErrnoException) => number {
  return (error) => {
    if (error.code?.startsWith('ERR_PARSE_ARGS') !== true) throw error;
    console.error(`${script}: ${error.message}; --help tells what there is`);
    return 2;
  };
}
