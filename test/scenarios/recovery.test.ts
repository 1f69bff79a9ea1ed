import t from 'tap';
import { RECOVERY_SCENARIOS } from '../../src/sim/scenarios/recovery.ts';
import { sweepScenarios } from './sweep-scenarios.ts';

sweepScenarios(t, RECOVERY_SCENARIOS);
