import t from 'tap';
import { FAILURE_SCENARIOS } from '../../src/sim/scenarios/failures.ts';
import { sweepScenarios } from './sweep-scenarios.ts';

sweepScenarios(t, FAILURE_SCENARIOS);
